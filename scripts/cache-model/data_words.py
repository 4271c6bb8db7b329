"""Words of software and of the day that the teacher's vocabulary cuts into letters: they get rows of their own."""

WORDS = """npm yarn pnpm kubectl kubernetes k8s helm istio envoy nginx apache json yaml xml html css http https url uri api apis sdk cli
gui ide ssh ssl tls tcp udp dns dhcp vpn vpc cdn cors csrf xss jwt oauth saml ldap sso mfa otp rbac iam ec2 s3 aws gcp azure lambda
docker dockerfile postgres postgresql mysql sqlite mongodb redis kafka rabbitmq elasticsearch graphql grpc protobuf webhook websocket
typescript javascript nodejs reactjs angular vue webpack vite eslint pytest junit pandas numpy pytorch tensorflow keras sklearn jupyter
github gitlab bitbucket jenkins terraform ansible prometheus grafana linux ubuntu debian fedora macos ios iphone android ipad airpods
regex async await mutex goroutine malloc nullptr stdin stdout stderr localhost hostname username usernames plaintext base64 utf8 ascii
unicode md5 sha256 rsa aes uuid csv tsv pdf docx xlsx png jpg jpeg gif svg mp3 mp4 usb hdmi ssd cpu gpu ram llm llms gpt chatgpt openai
anthropic claude gemini llama mistral chatbot chatbots tokenizer embeddings rag startup startups crypto bitcoin ethereum blockchain nft
whatsapp instagram snapchat tiktok youtube gmail linkedin reddit discord slack zoom netflix spotify uber airbnb paypal venmo iban swift
covid ibuprofen paracetamol acetaminophen antibiotic antibiotics adhd ocd ptsd ivf std hpv uti ecg mri quora upsc iit jee gmat gre ielts
toefl mba phd cgpa ssn vat gst ira 401k etf etfs apr refund refunds checkout login logout signup timestamp timestamps timezone eresolve
econnrefused enoent segfault stacktrace nullpointerexception typeerror keyerror valueerror runtime middleware backend frontend fullstack
devops sre kpi okr roi saas b2b ceo cto cfo hr cv resume resumes mortgage mortgages deductible copay reimbursement wifi bluetooth router
firmware screenshot screenshots emoji emojis hashtag username passwords autofill dropdown checkbox tooltip""".split()

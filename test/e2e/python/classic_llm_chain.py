"""A program as it was written in 2023, unchanged: only OPENAI_API_BASE points elsewhere."""
from langchain.chains import LLMChain
from langchain.llms import OpenAI
from langchain.prompts import PromptTemplate

prompt = PromptTemplate(template="Question: {question}\nAnswer:", input_variables=["question"])
llm = OpenAI(temperature=0.9)
chain = LLMChain(prompt=prompt, llm=llm)
print(chain.run("What is the capital of France?"))

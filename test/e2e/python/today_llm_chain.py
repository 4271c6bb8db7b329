"""The classic program with today's packages: only OPENAI_API_BASE points elsewhere."""
from langchain_core.prompts import PromptTemplate
from langchain_openai import OpenAI

prompt = PromptTemplate.from_template("Question: {question}\nAnswer:")
llm = OpenAI(temperature=0.9)
chain = prompt | llm
print(chain.invoke({"question": "What is the capital of France?"}))

"""LangChain's other OpenAI classes through HEDDLE_BASE_URL; its chat model has test_standard_chat.py."""
import os

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

CONNECTION = {"base_url": os.environ["HEDDLE_BASE_URL"], "api_key": "sk-e2e", "max_retries": 0}


def test_text_model_completes_and_streams():
    llm = OpenAI(**CONNECTION)
    assert "Paris" in llm.invoke("Question: What is the capital of France?\nAnswer:")
    assert "Paris" in "".join(llm.stream("What is the capital of France?"))


def test_embeddings_of_documents_and_queries():
    # The length check would load a tokenizer from the network.
    embeddings = OpenAIEmbeddings(**CONNECTION, dimensions=16, check_embedding_ctx_length=False)
    documents = embeddings.embed_documents(["warp", "weft"])
    assert [len(vector) for vector in documents] == [16, 16]
    assert embeddings.embed_query("warp") == documents[0]


def test_agent_calls_its_tool_and_answers():
    calls = []

    @tool
    def get_weather(city: str) -> str:
        """Weather of a city."""
        calls.append(city)
        return f"sunny in {city}"

    agent = create_agent(ChatOpenAI(**CONNECTION, model="gpt-4o-mini"), [get_weather])
    result = agent.invoke({"messages": [{"role": "user", "content": "What is the weather in Oslo?"}]})
    assert calls == ["Oslo"]
    assert "sunny in Oslo" in result["messages"][-1].text

"""The OpenAI client for Python through HEDDLE_BASE_URL."""
import os

import openai
import pytest
from pydantic import BaseModel

BASE_URL = os.environ["HEDDLE_BASE_URL"]
MODEL = "gpt-4o-mini"
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def client():
    with openai.OpenAI(base_url=BASE_URL, api_key="sk-e2e", max_retries=0) as made:
        yield made


def test_chat_and_request_id(client):
    answer = client.chat.completions.create(model=MODEL, messages=FRANCE)
    assert "Paris" in answer.choices[0].message.content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id


def test_stream_says_the_same(client):
    whole = client.chat.completions.create(model=MODEL, messages=FRANCE)
    chunks = list(client.chat.completions.create(model=MODEL, messages=FRANCE, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert [chunk.usage for chunk in chunks if chunk.usage][0].total_tokens == whole.usage.total_tokens


def test_stream_helper_collects_tool_calls(client):
    tools = [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "strict": True,
                "parameters": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                    "additionalProperties": False,
                },
            },
        }
    ]
    question = [{"role": "user", "content": "What is the weather in Oslo?"}]
    with client.chat.completions.stream(model=MODEL, messages=question, tools=tools) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    call = message.tool_calls[0]
    assert call.function.parsed_arguments == {"city": "Oslo"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain, 7 degrees"}
    history = [*question, message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}), result]
    for call_dump in history[1]["tool_calls"]:
        call_dump["function"].pop("parsed_arguments", None)
    assert "rain, 7 degrees" in client.chat.completions.create(model=MODEL, messages=history, tools=tools).choices[0].message.content


class Plan(BaseModel):
    title: str
    steps: list[str]
    done: bool


def test_parse_in_both_formats(client):
    chat = client.chat.completions.parse(model=MODEL, messages=FRANCE, response_format=Plan)
    assert isinstance(chat.choices[0].message.parsed, Plan)
    response = client.responses.parse(model=MODEL, input="Plan a trip", text_format=Plan)
    assert isinstance(response.output_parsed, Plan)


def test_responses_stream_and_continue(client):
    with client.responses.stream(model="o4-mini", input="My name is Ada.") as stream:
        types = [event.type for event in stream]
        first = stream.get_final_response()
    assert types[0] == "response.created"
    assert types[-1] == "response.completed"
    assert first.usage.output_tokens_details.reasoning_tokens > 0
    again = client.responses.create(model=MODEL, input="What is my name?", previous_response_id=first.id)
    assert "Ada" in again.output_text


def test_embeddings_legacy_and_models(client):
    encoded = client.embeddings.create(model="text-embedding-3-small", input=["warp", "weft"], dimensions=16)
    numbers = client.embeddings.create(model="text-embedding-3-small", input=["warp", "weft"], dimensions=16, encoding_format="float")
    assert [item.embedding for item in encoded.data] == [item.embedding for item in numbers.data]
    text = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="capital of France", max_tokens=20).choices[0].text
    assert "Paris" in text
    assert len(list(client.models.list())) > 0


@pytest.mark.asyncio
async def test_async_client():
    async with openai.AsyncOpenAI(base_url=BASE_URL, api_key="sk-e2e", max_retries=0) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=FRANCE, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert "Paris" in text


def test_an_error_in_the_middle_of_a_stream_is_raised_after_what_came_before(client):
    # The pause lets the first words out: an error right behind them may still be retried unseen.
    model = f"{MODEL}~interval=50~error_after=2"
    text = ""
    with pytest.raises(openai.APIError):
        for chunk in client.chat.completions.create(model=model, messages=FRANCE, stream=True):
            text += chunk.choices[0].delta.content or ""
    assert text == "The capital"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("context_length", openai.BadRequestError),
        ("rate_limit=long", openai.RateLimitError),
        ("status=503", openai.InternalServerError),
    ],
)
def test_error_classes(client, fault, error):
    with pytest.raises(error) as raised:
        client.chat.completions.create(model=f"{MODEL}~{fault}", messages=FRANCE)
    assert raised.value.request_id

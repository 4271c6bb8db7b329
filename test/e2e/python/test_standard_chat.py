"""The standard tests that every LangChain chat model has to pass, run with ChatOpenAI through HEDDLE_BASE_URL."""
import os

from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

BASE_URL = os.environ["HEDDLE_BASE_URL"]
API_KEY = os.environ.get("HEDDLE_API_KEY", "sk-e2e")
MODEL = os.environ.get("HEDDLE_MODEL", "gpt-4o-mini")


class TestChatCompletions(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict:
        return {"model": MODEL, "base_url": BASE_URL, "api_key": API_KEY, "stream_usage": True, "max_retries": 0}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "gpt-4o"

    @property
    def supported_usage_metadata_details(self) -> dict:
        return {"invoke": ["reasoning_output", "cache_read_input"], "stream": ["reasoning_output", "cache_read_input"]}

    def invoke_with_reasoning_output(self, *, stream: bool = False):
        llm = ChatOpenAI(**{**self.chat_model_params, "model": "o4-mini", "reasoning_effort": "medium"})
        return _invoke(llm, "Explain how a loom works.", stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False):
        llm = ChatOpenAI(**self.chat_model_params)
        prompt = "The loom has a warp and a weft, and the heddle guides the threads. " * 60
        _invoke(llm, prompt, stream)
        return _invoke(llm, prompt, stream)


class TestResponses(TestChatCompletions):
    @property
    def chat_model_params(self) -> dict:
        return {**super().chat_model_params, "use_responses_api": True}

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True


def _invoke(llm, prompt: str, stream: bool):
    if not stream:
        return llm.invoke(prompt)
    full = None
    for chunk in llm.stream(prompt):
        full = chunk if full is None else full + chunk
    return full


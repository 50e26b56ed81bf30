"""Why occupation models do not `generate`, and the method that libraries for language models look for all the same."""

from typing import Any, NoReturn


class WithoutGenerate:
    """A mixin for models that `forecast` continues; it comes before the class of Transformers.

    `generate` draws ids and knows nothing of the years, schooling or other covariates of the steps to come, without
    which these models predict nothing. PEFT's wrapper for causal language models only asks that
    `prepare_inputs_for_generation` is there, and calls it in `generate` alone.
    """

    # PEFT reads it before it calls `generate`.
    generation_config: Any = None

    @classmethod
    def can_generate(cls) -> bool:
        return False

    def generate(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ValueError(
            f"a {type(self).__name__} has no generate, which would not know the covariates of coming years: use "
            "career_hf.forecast(model, careers, processor, horizon=...)"
        )

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> NoReturn:
        self.generate()


__all__ = ["WithoutGenerate"]

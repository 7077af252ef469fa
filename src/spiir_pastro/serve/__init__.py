"""The alert service: IGWN Alert in, p_astro on GraceDB."""

__all__: list[str] = []

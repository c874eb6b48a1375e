"""Plans, decisions and verdicts for people (rich renderables) and for programs (JSON). Nothing here prints."""

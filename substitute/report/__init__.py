"""Reports of plans, decisions and verdicts, as rich renderables and as JSON. Nothing here prints."""

"""The form to which the scalar bodies of definitions and dispatches are brought before they are compared."""

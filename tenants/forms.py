"""The form of the log-in page."""

from django.contrib.auth.forms import AuthenticationForm


class LoginForm(AuthenticationForm):
    """Name and password; the message does not tell which of them is wrong."""

    error_messages = {
        "invalid_login": "Name or password is wrong. Capital letters count in the password.",
        "inactive": "Name or password is wrong. Capital letters count in the password.",
    }

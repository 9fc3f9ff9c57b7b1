"""The command `routes`."""

import pytest
from processes import SERVE, run_python


@pytest.mark.usefixtures("empty_database")
def test_routes_command_shows_the_required_authentication() -> None:
    shown = run_python(*SERVE, "routes").stdout.splitlines()
    assert "POST    /api/v1/auth/token  Sign In" in shown
    assert "GET     /api/v1/auth/me  Read Current User  (requires HTTPBearer)" in shown
    assert "PATCH   /api/v1/auth/users/{user_id}  Update User  (requires HTTPBearer users:write)" in shown

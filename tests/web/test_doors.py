"""Log in, log out, choose a tenant."""

from django.test import Client

from tests import factories
from tests.web.conftest import Login, Scene


def test_it_logs_in_and_goes_where_one_was_going(scene: Scene, client: Client) -> None:
    wanted = f"/t/acme/releases/{scene.canary.pk}/"
    answer = client.get(wanted, follow=True)
    assert wanted in answer.content.decode()
    answer = client.post("/login/", {"username": "ben", "password": factories.PASSWORD, "next": wanted})
    assert answer["Location"] == wanted


def test_it_does_not_tell_which_of_the_two_is_wrong(scene: Scene, client: Client) -> None:
    said = [
        client.post("/login/", {"username": name, "password": "wrong"})
        .content.decode()
        .count("Name or password is wrong")
        for name in ("ben", "nobody")
    ]
    assert said == [1, 1]


def test_it_follows_no_address_outside(scene: Scene, client: Client) -> None:
    given = {"username": "ben", "password": factories.PASSWORD, "next": "https://evil.example/"}
    assert client.post("/login/", given)["Location"] == "/"


def test_it_leads_home_to_the_only_tenant(scene: Scene, login: Login) -> None:
    assert login("ben").get("/")["Location"] == "/t/acme/"


def test_it_asks_which_of_two_tenants(scene: Scene, login: Login) -> None:
    factories.Membership.objects.create(tenant=scene.cast.globex, user=scene.cast.ben, role="viewer")
    client = login("ben")
    assert client.get("/")["Location"] == "/tenants/"
    page = client.get("/tenants/").content.decode()
    assert "/t/acme/" in page
    assert "/t/globex/" in page


def test_it_helps_somebody_without_a_tenant(scene: Scene, client: Client) -> None:
    factories.Membership.objects.filter(user=scene.cast.ben).delete()
    client.force_login(scene.cast.ben)
    assert "You belong to no tenant yet" in client.get("/tenants/").content.decode()


def test_it_logs_out_by_post_only(scene: Scene, login: Login) -> None:
    client = login("ben")
    assert client.get("/logout/").status_code == 405
    client.post("/logout/")
    assert client.get("/t/acme/").status_code == 302


def test_it_refuses_a_form_without_its_token(scene: Scene) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(scene.cast.ada)
    answer = client.post(f"/t/acme/releases/{scene.canary.pk}/abort/", {"reason": "x"})
    assert answer.status_code == 403
    assert "Please send the form again" in answer.content.decode()

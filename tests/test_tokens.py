"""Tokens belong to the client's key: those that are made, and those that come."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from flask import Blueprint, Flask, g, jsonify, make_response, request
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    decode_token,
    get_csrf_token,
    get_jwt,
    get_jwt_identity,
    jwt_required,
    set_access_cookies,
    verify_jwt_in_request,
    view_decorators,
)

from flask_sealed import ConfigError, Sealed, TokenUnbound, sealed
from flask_sealed.protocol.encoding import b64encode, b64u_encode
from flask_sealed.protocol.flow import Send
from flask_sealed.protocol.jwk import thumbprint
from flask_sealed.protocol.keys import Key, KeyRing
from flask_sealed.protocol.messages import Request
from flask_sealed.protocol.rotation import new_ring

from .driver import FlaskWire, Outer, SealedCaller

AUDIENCE = "https://bank.example"
SECRET = "0123456789abcdef" * 4
IDENTITY = Ed25519PrivateKey.generate()
BACKUP = Ed25519PrivateKey.generate()
PSK = os.urandom(32)
LEVEL3 = os.urandom(32)
RING = new_ring(IDENTITY, BACKUP, now=int(time.time()), random=os.urandom).add(
    Key(kid="billing", purpose="psk", material=PSK)
)
CLAIMS: dict[str, Any] = {"role": "clerk"}

BOUND_401 = "urn:flask-sealed:token-unbound"


def make_app(
    *, manager: Callable[[Flask], object] = JWTManager, ring: KeyRing = RING, **settings: Any
) -> Flask:
    """An application with a manager of tokens and views of all kinds."""
    app = Flask("tests.app")
    app.config.update(
        TESTING=True,
        SEALED_KEYRING=ring.to_json().decode(),
        SEALED_AUDIENCE=AUDIENCE,
        SEALED_LEVEL3_KEY=LEVEL3.hex(),
        SEALED_REPLAY_STORE="memory://",
        JWT_SECRET_KEY=SECRET,
        JWT_TOKEN_LOCATION=["headers", "cookies", "query_string", "json"],
        JWT_COOKIE_CSRF_PROTECT=True,
    )
    app.config.update(settings)
    if "JWT_SECRET_KEY" in settings and settings["JWT_SECRET_KEY"] is None:
        del app.config["JWT_SECRET_KEY"]
    manager(app)
    Sealed(app)
    add_views(app)
    return app


def add_views(app: Flask) -> None:
    def login() -> Any:
        return {"access": create_access_token("ada"), "refresh": create_refresh_token("ada")}

    def who() -> Any:
        return jsonify(get_jwt_identity())

    app.add_url_rule("/login", "login", sealed(login), methods=["POST"])
    app.add_url_rule("/open-login", "open_login", login, methods=["POST"])
    view: dict[str, Any] = {"methods": ["GET", "POST"]}
    app.add_url_rule("/outside", "outside", sealed(jwt_required()(who)), **view)
    app.add_url_rule("/inside", "inside", jwt_required()(sealed(who)), **view)
    app.add_url_rule("/refresh", "refresh", sealed(jwt_required(refresh=True)(login)), **view)
    app.add_url_rule("/optional", "optional", sealed(jwt_required(optional=True)(who)), **view)
    app.add_url_rule("/open", "open", jwt_required()(who), **view)
    app.add_url_rule("/open-optional", "open_optional", jwt_required(optional=True)(who), **view)
    app.add_url_rule("/open-refresh", "open_refresh", jwt_required(refresh=True)(login), **view)
    app.add_url_rule("/header", "header", sealed(jwt_required(locations="headers")(who)), **view)
    level3 = sealed(profile="level3", request=False)
    app.add_url_rule("/level3", "level3", level3(jwt_required()(who)))

    @app.get("/called")
    @sealed
    def called() -> Any:
        verify_jwt_in_request()
        return jsonify(get_jwt_identity())

    @app.get("/async")
    @sealed
    @jwt_required()
    async def asynchronous() -> Any:
        return jsonify(get_jwt_identity())

    @app.get("/async-open")
    @jwt_required()
    async def async_open() -> Any:
        return jsonify(get_jwt_identity())


@pytest.fixture
def app() -> Flask:
    return make_app()


def caller(app: Flask, **more: Any) -> SealedCaller:
    pins = [thumbprint(key.public_key()) for key in (IDENTITY, BACKUP)]
    wire = FlaskWire(app)
    wire.client = app.test_client(use_cookies=False)  # else it sends its own in place of a test's
    return SealedCaller(wire, audience=AUDIENCE, ring_pins=pins, **more)


@pytest.fixture
def ada(app: Flask) -> SealedCaller:
    return caller(app)


@pytest.fixture
def eve(app: Flask) -> SealedCaller:
    return caller(app)


def login(client: SealedCaller, target: str = "/login") -> dict[str, str]:
    reply = client.post(target)
    assert reply.status == 200
    return dict(reply.json())


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def cnf(token: str) -> Any:
    return pyjwt.decode(token, options={"verify_signature": False}).get("cnf")


def binding(client: SealedCaller) -> str:
    return b64u_encode(thumbprint(client.binding.public_key()))


def prove(client: SealedCaller, method: str, target: str, token: str, **headers: str) -> Outer:
    """A request in clear to a view that is not sealed, with a proof of who sends it."""
    seal = client.prepare(Request(method=method, target=target)).send.headers
    return client.deliver(
        Send(method, target, (*seal, *bearer(token).items(), *headers.items()), None, None)
    )


def plain(app: Flask, method: str, target: str, token: str) -> Outer:
    return FlaskWire(app).send(Send(method, target, tuple(bearer(token).items()), None, None))


def unbound(outer: Outer) -> bool:
    """Whether it is the refusal, in clear."""
    body = outer.json()
    assert outer.status == body["status"] == 401
    assert outer.head.headers["content-type"] == "application/problem+json"
    assert outer.head.headers["cache-control"] == "no-store"
    return bool(body["type"] == BOUND_401)


def sealed_unbound(client: SealedCaller, target: str, method: str = "GET", **more: Any) -> bool:
    """Whether a sealed request gets the refusal, sealed."""
    reply = client.request(method, target, **more)
    assert "sealed" in reply.raw.head.headers
    assert b"token-unbound" not in reply.raw.body
    assert (reply.status, reply.content_type) == (401, "application/problem+json")
    return bool(reply.json()["type"] == BOUND_401)


def foreign(**claims: Any) -> str:
    """A token that somebody else makes with the application's key."""
    usual = {"sub": "ada", "jti": "1", "type": "access", "fresh": False, "iat": int(time.time())}
    return pyjwt.encode({**usual, **claims}, SECRET, "HS256")


# What is made


def test_tokens_of_a_session_carry_its_binding_key(app: Flask, ada: SealedCaller) -> None:
    tokens = login(ada)
    assert [cnf(token) for token in tokens.values()] == [{"jkt": binding(ada)}] * 2


def test_tokens_of_a_preshared_key_carry_its_name(app: Flask) -> None:
    tokens = login(caller(app, psk=("billing", PSK)))
    assert [cnf(token) for token in tokens.values()] == [{"jkt": "psk:billing"}] * 2


def test_a_proof_at_an_open_view_binds_too(app: Flask, ada: SealedCaller) -> None:
    tokens = prove(ada, "POST", "/open-login", "-").json()
    assert [cnf(token) for token in tokens.values()] == [{"jkt": binding(ada)}] * 2


def test_tokens_of_nobody_carry_nothing(app: Flask) -> None:
    tokens = plain(app, "POST", "/open-login", "-").json()
    assert [cnf(token) for token in tokens.values()] == [None] * 2
    with app.app_context():
        assert cnf(create_access_token("ada")) is None
    with app.test_request_context():
        assert cnf(create_refresh_token("ada")) is None


class Eager(JWTManager):
    """An application's own manager, that makes tokens and drops claims as it likes."""

    def pair(self, identity: str) -> Any:
        return self._encode_jwt_from_config(identity, "access", {"mine": 1})


class Careless(JWTManager):
    def _encode_jwt_from_config(self, *args: Any, **kwargs: Any) -> str:
        token = super()._encode_jwt_from_config(*args, **kwargs)
        claims = pyjwt.decode(token, options={"verify_signature": False})
        claims.pop("cnf", None)
        return pyjwt.encode(claims, SECRET, "HS256")


def test_claims_of_the_application_stay_and_nothing_gets_into_them() -> None:
    app = make_app()
    app.extensions["flask-jwt-extended"].additional_claims_loader(lambda identity: CLAIMS)

    @app.post("/more")
    @sealed
    def more() -> Any:
        return {"access": create_access_token("ada", additional_claims={"more": 1})}

    for client in (caller(app), caller(app)):
        token = login(client, "/more")["access"]
        claims = pyjwt.decode(token, options={"verify_signature": False})
        assert (claims["role"], claims["more"]) == ("clerk", 1)
        assert claims["cnf"] == {"jkt": binding(client)}
    assert CLAIMS == {"role": "clerk"}


def test_a_manager_of_the_applications_own_makes_bound_tokens() -> None:
    managers: list[Eager] = []
    app = make_app(manager=lambda app: managers.append(Eager(app)))

    @app.post("/pair")
    @sealed
    def pair() -> Any:
        return {"access": managers[0].pair("ada")}

    client = caller(app)
    token = login(client, "/pair")["access"]
    assert cnf(token) == {"jkt": binding(client)}
    assert type(managers[0]).__name__ == "Eager"
    assert app.extensions["flask-jwt-extended"] is managers[0]


class Encrypting(JWTManager):
    def _encode_jwt_from_config(self, *args: Any, **kwargs: Any) -> str:
        return "e30..AA.AA.AA"


MANAGERS = {"manager": Careless, "another form": Encrypting}


@pytest.mark.parametrize("where", ["argument", "loader", "nothing", *MANAGERS])
def test_a_cnf_of_the_applications_own_is_a_mistake(where: str) -> None:
    app = make_app(manager=MANAGERS.get(where, JWTManager))
    other = {"cnf": None if where == "nothing" else {"jkt": "x" * 43}}
    if where == "loader":
        app.extensions["flask-jwt-extended"].additional_claims_loader(lambda identity: other)
    raised: list[BaseException] = []

    @app.post("/more")
    @sealed
    def more() -> Any:
        try:
            return {"access": create_access_token("ada", additional_claims=dict(request.json))}
        except ConfigError as error:
            raised.append(error)
            return {}

    given = other if where in ("argument", "nothing") else {}
    assert caller(app).post("/more", json=given).json() == {}
    assert len(raised) == 1


def test_a_cnf_of_the_applications_own_that_is_right_is_none() -> None:
    app = make_app()

    @app.post("/more")
    @sealed
    def more() -> Any:
        claims = {"cnf": {"jkt": request.json["jkt"]}}
        return {"access": create_access_token("ada", additional_claims=claims)}

    client = caller(app)
    reply = client.post("/more", json={"jkt": binding(client)})
    assert cnf(reply.json()["access"]) == {"jkt": binding(client)}


# What comes

EVERY_SEALED_VIEW = ["/outside", "/inside", "/optional", "/header", "/called", "/async"]


@pytest.mark.parametrize("target", EVERY_SEALED_VIEW)
def test_a_stolen_token_in_the_thiefs_own_seal(
    ada: SealedCaller, eve: SealedCaller, target: str
) -> None:
    token = login(ada)["access"]
    assert ada.get(target, headers=bearer(token)).json() == "ada"
    assert sealed_unbound(eve, target, headers=bearer(token))
    assert ada.get(target, headers=bearer(token)).json() == "ada"


def test_a_stolen_token_beside_the_thiefs_own_seal(ada: SealedCaller, eve: SealedCaller) -> None:
    tokens = login(ada)
    outer = bearer(tokens["access"])
    assert eve.get("/header", outer=outer).status == 401  # it is not even seen
    assert eve.get("/optional", outer=outer).json() is None
    own = bearer(login(eve)["access"])
    assert eve.get("/header", headers=own, outer=outer).json() == "ada"
    cookie = {"cookie": f"access_token_cookie={tokens['access']}"}
    assert sealed_unbound(eve, "/outside", outer=cookie)
    assert sealed_unbound(eve, f"/outside?jwt={tokens['access']}")
    assert sealed_unbound(eve, "/outside", query=f"jwt={tokens['access']}")
    body = {"access_token": tokens["access"]}
    assert sealed_unbound(eve, "/outside", "POST", json=body)
    assert ada.post("/outside", json=body).json() == "ada"


def test_a_token_that_the_thief_puts_in_the_place_of_the_victims(
    ada: SealedCaller, eve: SealedCaller
) -> None:
    own, stolen = login(eve)["access"], login(ada)["access"]
    # Outside it is not seen, in a cookie it is not hers.
    assert ada.get("/header", headers=bearer(stolen), outer=bearer(own)).status == 200
    cookie = {"cookie": f"access_token_cookie={own}"}
    assert sealed_unbound(ada, "/outside", outer=cookie)


def test_a_replay_of_the_whole_request(app: Flask, ada: SealedCaller) -> None:
    token = login(ada)["access"]
    headers = tuple(bearer(token).items())
    outer, attempt = ada.attempt(Request(method="POST", target="/outside", headers=headers))
    assert attempt.json(outer) == "ada"
    again = ada.deliver(attempt.send)
    assert json.loads(attempt.open(again)[1])["type"] == "urn:flask-sealed:replayed"


@pytest.mark.parametrize("target", ["/open", "/open-optional", "/async-open"])
def test_an_open_view_demands_the_proof(
    app: Flask, ada: SealedCaller, eve: SealedCaller, target: str
) -> None:
    token = login(ada)["access"]
    assert unbound(plain(app, "GET", target, token))
    assert unbound(prove(eve, "GET", target, token))
    assert prove(ada, "GET", target, token).json() == "ada"


def test_a_proof_for_another_target_or_method(ada: SealedCaller) -> None:
    token = login(ada)["access"]
    seal = ada.prepare(Request(method="GET", target="/open-optional")).send.headers
    for method, target in (("GET", "/open"), ("POST", "/open-optional"), ("GET", "/open?a=1")):
        headers = (*seal, *bearer(token).items())
        outer = ada.deliver(Send(method, target, headers, None, None))
        assert outer.json()["type"] == "urn:flask-sealed:refused"


def test_a_proof_is_used_once(ada: SealedCaller) -> None:
    token = login(ada)["access"]
    assert prove(ada, "POST", "/open", token).json() == "ada"
    outer = ada.deliver(ada.sent[-1])
    assert outer.json()["type"] == "urn:flask-sealed:replayed"


def test_refresh_tokens_likewise(app: Flask, ada: SealedCaller, eve: SealedCaller) -> None:
    refresh = login(ada)["refresh"]
    assert sealed_unbound(eve, "/refresh", "POST", headers=bearer(refresh))
    assert unbound(plain(app, "POST", "/open-refresh", refresh))
    assert unbound(prove(eve, "POST", "/open-refresh", refresh))
    fresh = ada.post("/refresh", headers=bearer(refresh)).json()["access"]
    assert cnf(fresh) == {"jkt": binding(ada)}
    assert cnf(prove(ada, "POST", "/open-refresh", refresh).json()["access"]) == cnf(fresh)


def test_a_token_outlives_its_session_and_both_sides(app: Flask, ada: SealedCaller) -> None:
    tokens = login(ada)
    for again in (app, make_app()):  # another process of the server has the same ring
        client = caller(again, binding=ada.binding)  # the client began anew
        assert client.get("/outside", headers=bearer(tokens["access"])).json() == "ada"
        assert client.post("/refresh", headers=bearer(tokens["refresh"])).status == 200
        assert client.sent[1].target == "/outside", "there was a handshake before"
        assert sealed_unbound(caller(again), "/outside", headers=bearer(tokens["access"]))


def test_preshared_keys_and_sessions_are_apart(app: Flask, ada: SealedCaller) -> None:
    billing = caller(app, psk=("billing", PSK))
    own, hers = login(billing)["access"], login(ada)["access"]
    assert billing.get("/outside", headers=bearer(own)).json() == "ada"
    assert prove(billing, "GET", "/open", own).json() == "ada"
    assert sealed_unbound(billing, "/outside", headers=bearer(hers))
    assert sealed_unbound(ada, "/outside", headers=bearer(own))


@pytest.mark.parametrize("tokens", ["bound", "any"])
def test_tokens_that_belong_to_no_key(tokens: str) -> None:
    app = make_app(SEALED_TOKENS=tokens)
    client = caller(app)
    with app.app_context():
        token = str(create_access_token("ada"))
    assert plain(app, "GET", "/open", token).json() == "ada"
    assert prove(client, "GET", "/open", token).json() == "ada"
    for target in EVERY_SEALED_VIEW:
        if tokens == "any":
            assert client.get(target, headers=bearer(token)).json() == "ada"
        else:
            assert sealed_unbound(client, target, headers=bearer(token))
    bound = login(client)["access"]
    assert sealed_unbound(caller(app), "/outside", headers=bearer(bound))


@pytest.mark.parametrize("tokens", ["bound", "any"])
@pytest.mark.parametrize(
    "cnf",
    [None, {}, [], "x", {"jkt": None}, {"jkt": ""}, {"jkt": 1}, {"jkt": "é\ud800"}, {"jwk": {}}],
)
def test_a_strange_cnf_is_no_ones(tokens: str, cnf: object) -> None:
    app = make_app(SEALED_TOKENS=tokens)
    token = foreign(cnf=cnf)
    assert sealed_unbound(caller(app), "/outside", headers=bearer(token))
    assert unbound(plain(app, "GET", "/open", token))
    assert unbound(prove(caller(app), "GET", "/open", token))


def test_other_ways_to_confirm_are_none_of_ours(app: Flask, ada: SealedCaller) -> None:
    token = foreign(cnf={"jkt": binding(ada), "x5t#S256": "x"})
    assert ada.get("/outside", headers=bearer(token)).json() == "ada"


def test_level_3_has_no_binding_and_takes_no_bound_token(app: Flask, ada: SealedCaller) -> None:
    with app.app_context():
        token = str(create_access_token("ada"))
    assert plain(app, "GET", "/level3", token).status == 200
    for answer in (
        plain(app, "GET", "/level3", login(ada)["access"]),
        prove(ada, "GET", "/level3", login(ada)["access"]),
    ):
        assert answer.status == 401
        assert answer.head.headers["sealed-content-type"] == "application/problem+json"
        raw = base64.b64decode(answer.json()["data"])
        opened = AESGCM(LEVEL3).decrypt(
            raw[:12], raw[28:] + raw[12:28], b"application/problem+json"
        )
        assert json.loads(opened)["type"] == BOUND_401


def test_decoding_alone_verifies_no_sender(app: Flask, ada: SealedCaller) -> None:
    token = login(ada)["access"]
    with app.app_context():
        assert decode_token(token)["sub"] == "ada"


# Whatever the application does


def test_the_applications_own_verification_runs_too(app: Flask, ada: SealedCaller) -> None:
    manager: JWTManager = app.extensions["flask-jwt-extended"]
    token = login(ada)["access"]
    seen: list[str] = []
    answers = [True, False]

    @manager.token_verification_loader
    def verification(header: Any, claims: Any) -> bool:
        seen.append(claims["sub"])
        return answers.pop(0)

    assert ada.get("/outside", headers=bearer(token)).json() == "ada"
    assert ada.get("/outside", headers=bearer(token)).status == 400
    assert sealed_unbound(caller(app), "/outside", headers=bearer(token))
    assert seen == ["ada", "ada"]


def test_other_callbacks_change_nothing(app: Flask, ada: SealedCaller, eve: SealedCaller) -> None:
    manager: JWTManager = app.extensions["flask-jwt-extended"]
    manager.token_in_blocklist_loader(lambda header, claims: False)
    manager.decode_key_loader(lambda header, claims: SECRET)
    manager.encode_key_loader(lambda identity: SECRET)
    manager.user_lookup_loader(lambda header, claims: claims["sub"])
    manager.unauthorized_loader(lambda text: ({"anonymous": True}, 200))
    manager.token_verification_failed_loader(lambda header, claims: ({"anonymous": True}, 200))
    token = login(ada)["access"]
    assert ada.get("/outside", headers=bearer(token)).json() == "ada"
    assert sealed_unbound(eve, "/outside", headers=bearer(token))
    assert unbound(plain(app, "GET", "/open", token))


@pytest.mark.parametrize("mode", ["DEBUG", "TESTING", "neither"])
@pytest.mark.parametrize("propagate", [True, False, None])
@pytest.mark.parametrize("trap", [True, False])
def test_no_error_handler_answers_in_its_place(mode: str, propagate: object, trap: bool) -> None:
    app = make_app(
        TESTING=mode == "TESTING",
        DEBUG=mode == "DEBUG",
        PROPAGATE_EXCEPTIONS=propagate,
        TRAP_HTTP_EXCEPTIONS=trap,
    )
    blueprint = Blueprint("part", __name__)
    blueprint.add_url_rule("/part", "part", sealed(jwt_required()(dict)))
    blueprint.add_url_rule("/open-part", "open-part", jwt_required()(dict))
    outer = Blueprint("outer", __name__, url_prefix="/outer")
    outer.register_blueprint(blueprint)
    for place in (app, blueprint, outer):
        for kind in (Exception, TokenUnbound):
            place.register_error_handler(kind, lambda error: ("handled", 200))
    app.register_blueprint(outer)
    token = login(caller(make_app()))["access"]  # by the same keys
    for target in ("/outer/part", "/outside"):
        assert sealed_unbound(caller(app), target, headers=bearer(token))
    for target in ("/outer/open-part", "/open"):
        assert unbound(plain(app, "GET", target, token))


def test_no_other_handling_of_errors_answers_in_a_sealed_view(
    app: Flask, ada: SealedCaller, eve: SealedCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = login(ada)["access"]
    # As Flask-RESTful does.
    monkeypatch.setattr(app, "handle_user_exception", lambda error: ("handled", 200))
    assert sealed_unbound(eve, "/outside", headers=bearer(token))


def test_the_refusal_is_told_of_with_the_request_as_it_came(
    app: Flask, ada: SealedCaller, eve: SealedCaller
) -> None:
    from flask_sealed.signals import refused

    told: list[tuple[object, ...]] = []

    def receive(sender: Flask, endpoint: str, code: str, sid: str) -> None:
        told.append((endpoint, code, request.headers.get("Authorization")))

    token = login(ada)["access"]
    with refused.connected_to(receive, app):
        sealed_unbound(eve, "/outside", headers=bearer(token))
        plain(app, "GET", "/open", token)
    assert told == [
        ("outside", "token-unbound", None),
        ("open", "token-unbound", f"Bearer {token}"),
    ]


def test_a_hook_that_verifies_outside_of_the_window() -> None:
    app = make_app()
    seen: list[object] = []

    @app.before_request
    def verify() -> None:
        if request.endpoint in ("outside", "open"):
            verify_jwt_in_request(optional=True)
            seen.append(get_jwt_identity())

    ada, eve = caller(app), caller(app)
    token = login(ada)["access"]
    cookie = {"cookie": f"access_token_cookie={token}"}
    assert ada.get("/outside", headers=bearer(token)).json() == "ada"
    assert ada.get("/outside", outer=cookie).json() == "ada"
    assert sealed_unbound(eve, "/outside", outer=cookie)
    assert unbound(plain(app, "GET", "/open", token))
    with app.app_context():
        token = str(create_access_token("ada"))
    assert sealed_unbound(eve, "/outside", outer={"cookie": f"access_token_cookie={token}"})
    assert seen == [None, "ada"]


def test_a_refused_token_leaves_nothing_verified() -> None:
    app = make_app()
    left: list[Any] = []
    app.teardown_request(lambda error: left.append(g.get("_jwt_extended_jwt")))
    plain(app, "GET", "/open-optional", foreign(cnf={"jkt": "x"}))
    plain(app, "GET", "/open-optional", foreign(jti="2"))
    assert [claims and claims["jti"] for claims in left] == [None, "2"]


def test_cookies_with_the_double_submit_inside_the_seal() -> None:
    app = make_app(JWT_TOKEN_LOCATION=["cookies"])

    @app.post("/cookie-login")
    @sealed
    def cookie_login() -> Any:
        token = create_access_token("ada")
        response = make_response({"csrf": get_csrf_token(token)})
        set_access_cookies(response, token)
        return response

    ada, eve = caller(app), caller(app)
    reply = ada.post("/cookie-login")
    cookies = [value for name, value in reply.raw.headers if name == "Set-Cookie"]
    token = next(value for value in cookies if value.startswith("access_token_cookie="))
    cookie = {"cookie": token.partition(";")[0]}
    csrf = {"x-csrf-token": reply.json()["csrf"]}
    assert ada.post("/outside", outer=cookie, headers=csrf).json() == "ada"
    assert ada.post("/outside", outer=cookie).status == 401
    assert ada.post("/outside", outer=cookie | csrf).status == 401, "in clear it does not count"
    assert ada.post("/outside", outer=cookie, headers={"x-csrf-token": "other"}).status == 401
    assert sealed_unbound(eve, "/outside", "POST", outer=cookie, headers=csrf)


def test_another_header_travels_sealed_and_is_hidden_outside() -> None:
    app = make_app(JWT_HEADER_NAME="X-Access-Token", JWT_HEADER_TYPE="")
    ada, eve = caller(app), caller(app)
    token = login(ada)["access"]
    header = {"x-access-token": token}
    assert ada.get("/header", headers=header).json() == "ada"
    assert ada.get("/header", outer=header).status == 401
    assert eve.get("/header", outer=header).json()["msg"].startswith("Missing")
    assert sealed_unbound(eve, "/header", headers=header)


@pytest.mark.parametrize("name", ["X_Access", "Cookie", "X-Forwarded-Access-Token"])
def test_a_header_that_cannot_travel_sealed(name: str) -> None:
    with pytest.raises(ConfigError):
        plain(make_app(JWT_HEADER_NAME=name), "GET", "/open", "-")
    app = make_app(JWT_HEADER_NAME=name, JWT_TOKEN_LOCATION=["cookies"])
    assert plain(app, "GET", "/open", "-").status == 401


# How it is set up


@pytest.mark.parametrize("order", ["manager first", "sealed first", "factory"])
def test_any_order_will_do(order: str) -> None:
    app = Flask("tests.app")
    app.config.update(
        TESTING=True,
        SEALED_KEYRING=RING.to_json().decode(),
        SEALED_AUDIENCE=AUDIENCE,
        SEALED_LEVEL3_KEY=LEVEL3.hex(),
        JWT_SECRET_KEY=SECRET,
    )
    if order == "manager first":
        JWTManager(app)
        Sealed(app)
    elif order == "sealed first":
        Sealed(app)
        JWTManager(app)
    else:
        extensions: list[Any] = [Sealed(), JWTManager()]
        add_views(app)
        for extension in extensions:
            extension.init_app(app)
    if order != "factory":
        add_views(app)
    # Even the first request.
    assert unbound(plain(app, "GET", "/open", foreign(cnf={"jkt": "x"})))
    client = caller(app)
    token = login(client)["access"]
    assert client.get("/outside", headers=bearer(token)).json() == "ada"
    assert sealed_unbound(caller(app), "/outside", headers=bearer(token))


def test_one_manager_for_two_applications() -> None:
    manager = JWTManager()
    app = make_app(manager=manager.init_app)
    other = Flask("tests.other")
    other.config["JWT_SECRET_KEY"] = SECRET
    manager.init_app(other)
    other.add_url_rule("/open", view_func=jwt_required()(lambda: {"cnf": get_jwt().get("cnf")}))
    client = caller(app)
    token = login(client)["access"]
    assert unbound(plain(app, "GET", "/open", token))
    # Without a `Sealed` nothing is known of bindings.
    assert plain(other, "GET", "/open", token).json() == {"cnf": {"jkt": binding(client)}}
    assert type(JWTManager()) is JWTManager
    assert JWTManager.__init__.__module__ == JWTManager.__module__


def test_an_application_without_tokens() -> None:
    app = make_app(manager=lambda app: None)
    app.add_url_rule("/nothing", view_func=sealed(lambda: ({}, 200)), endpoint="nothing")
    assert caller(app).get("/nothing").json() == {}


def test_without_seals_there_is_no_proof() -> None:
    app = make_app(SEALED_ENABLED=False)
    with app.app_context():
        token = str(create_access_token("ada"))
    assert plain(app, "GET", "/outside", token).json() == "ada"
    assert unbound(plain(app, "GET", "/outside", foreign(cnf={"jkt": "x"})))


def test_a_token_that_was_verified_too_early() -> None:
    app = Flask("tests.app")
    app.config.update(
        TESTING=True,
        SEALED_KEYRING=RING.to_json().decode(),
        SEALED_AUDIENCE=AUDIENCE,
        JWT_SECRET_KEY=SECRET,
    )
    Sealed(app)
    JWTManager(app)
    app.add_url_rule("/open", view_func=dict, endpoint="open")
    app.url_value_preprocessor(lambda endpoint, values: verify_jwt_in_request() and None)
    token = foreign(cnf={"jkt": "x"})
    with pytest.raises(ConfigError):
        plain(app, "GET", "/open", token)
    with pytest.raises(TokenUnbound):
        plain(app, "GET", "/open", token)


def test_a_library_that_asks_nothing_is_not_worked_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_decorators, "custom_verification_for_token", lambda *args: None)
    with pytest.raises(ConfigError):
        plain(make_app(), "GET", "/outside", "-")


def test_a_library_that_makes_other_tokens_is_not_worked_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(JWTManager, "_encode_jwt_from_config", lambda *args, **more: foreign())
    with pytest.raises(ConfigError):
        plain(make_app(), "GET", "/outside", "-")


@pytest.mark.parametrize("manager", [object(), type("Manager", (), {"__slots__": ()})()])
def test_a_manager_that_is_not_known(manager: object) -> None:
    def put(app: Flask) -> None:
        app.extensions["flask-jwt-extended"] = manager

    with pytest.raises(ConfigError):
        make_app(manager=put)


def _pem(key: Any) -> str:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


def _public_pem(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def _ssh(key: Any) -> bytes:
    text: bytes = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_PRIVATE_KEY", _pem(IDENTITY)),
        ("JWT_PRIVATE_KEY", _pem(BACKUP).encode()),
        ("JWT_PRIVATE_KEY", IDENTITY),
        ("JWT_PUBLIC_KEY", _public_pem(IDENTITY)),
        ("JWT_PUBLIC_KEY", _public_pem(IDENTITY).decode()),
        ("JWT_PUBLIC_KEY", _ssh(BACKUP)),
        ("JWT_PUBLIC_KEY", IDENTITY.public_key()),
        ("JWT_SECRET_KEY", PSK),
        ("JWT_SECRET_KEY", PSK.hex()),
        ("JWT_SECRET_KEY", b64encode(PSK).decode()),
        ("JWT_SECRET_KEY", b64u_encode(PSK)),
        ("JWT_SECRET_KEY", b64u_encode(PSK).encode()),
        ("JWT_SECRET_KEY", LEVEL3.hex() + "\n"),
        ("JWT_SECRET_KEY", IDENTITY.private_bytes_raw()),
    ],
)
def test_a_key_of_the_keyring_signs_no_tokens(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        plain(make_app(**{name: value}), "GET", "/open", "-")
    assert PSK.hex() not in str(caught.value)


def test_the_secret_that_stands_in_for_another() -> None:
    with pytest.raises(ConfigError):
        plain(make_app(JWT_SECRET_KEY=None, SECRET_KEY=PSK.hex()), "GET", "/open", "-")
    app = make_app(SECRET_KEY=PSK.hex())  # not for tokens
    assert plain(app, "GET", "/open", "-").status == 422


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_PRIVATE_KEY", _pem(Ed25519PrivateKey.generate())),
        ("JWT_PUBLIC_KEY", _public_pem(generate_private_key(SECP384R1()))),
        ("JWT_PUBLIC_KEY", "no key"),
        ("JWT_SECRET_KEY", os.urandom(32)),
        ("JWT_SECRET_KEY", os.urandom(32).hex()),
        ("JWT_SECRET_KEY", "é" * 40),
    ],
)
def test_any_other_key_does(name: str, value: Any) -> None:
    app = make_app(**{name: value})
    assert plain(app, "GET", "/open", "-").status == 422

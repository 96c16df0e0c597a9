"""ACME with a real authority and a real HAProxy that answers its questions, without anything of an app."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pebble import Pebble, running_pebble
from test_router_support import Proxy, proxies

from paas.deploy.routing.authority import Authority, AuthorityFailed, new_key, thumbprint
from paas.model.certificate import Certificate
from paas.router.routes import Route

proxy = pytest.fixture(proxies, name="proxy")


@pytest.fixture
def pebble(tmp_path: Path, proxy: Proxy) -> Iterator[Pebble]:
    folder = tmp_path / "pebble"
    folder.mkdir()
    with running_pebble(folder, proxy.port) as started:
        yield started


def test_a_certificate_from_order_to_answer(proxy: Proxy, pebble: Pebble) -> None:
    key = new_key()
    authority = Authority.connect(pebble.directory, str(pebble.ca), key, "ops@example.com")
    with pytest.raises(AuthorityFailed, match=r"could not verify it: .*404"):
        authority.issue("shop.test")
    proxy.apply(Route("shop", 1, 1, ("shop.test",), (), acme=thumbprint(key)))
    certificate = Certificate.parse(*authority.issue("shop.test"))
    assert certificate.names == ("shop.test",) and not certificate.warnings
    assert certificate.chain.count("BEGIN CERTIFICATE") == 2
    # Who asks again is the same account, also with another address.
    again = Authority.connect(pebble.directory, str(pebble.ca), key, "other@example.com")
    assert again.account.uri == authority.account.uri
    assert Authority.connect(pebble.directory, str(pebble.ca), key, "", True).account.uri == authority.account.uri
    with pytest.raises(AuthorityFailed, match=r"The authority refused: .*illegal character"):
        again.issue("shop_1.test")


def test_what_a_broken_authority_is_called(pebble: Pebble, tmp_path: Path) -> None:
    key = new_key()
    host = f"localhost:{pebble.port}"
    with pytest.raises(AuthorityFailed, match=f"The certificate of {host} is not trusted .self.signed"):
        Authority.connect(pebble.directory, "", key, "")
    with pytest.raises(AuthorityFailed, match="gave an answer that is not ACME's"):
        Authority.connect(f"https://{host}/nothing", str(pebble.ca), key, "")
    with pytest.raises(AuthorityFailed, match=f"{host} can't be reached .*gone.pem"):
        Authority.connect(pebble.directory, str(tmp_path / "gone.pem"), key, "")
    with pytest.raises(AuthorityFailed, match=r"The authority refused: .*mail"):
        Authority.connect(pebble.directory, str(pebble.ca), key, "nobody")
    pebble.stop()
    with pytest.raises(AuthorityFailed, match=rf"{host} can't be reached \(Connection refused\)"):
        Authority.connect(pebble.directory, str(pebble.ca), key, "")
    with pytest.raises(AuthorityFailed, match=r"nowhere\.invalid can't be reached"):
        Authority.connect("https://nowhere.invalid/dir", "", key, "")

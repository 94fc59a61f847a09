"""Certificates of a bus: kept while they are good, renewed in time, under an authority that clients know already."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from eventbus import certificates
from eventbus.certificates import LEAF, Chain, Names

NOW = datetime(2026, 7, 1, tzinfo=UTC)
NAMES = certificates.server_names("eventbus-default-js-svc", "argo")


@pytest.fixture(scope="module")
def chain() -> Chain:
    return certificates.ensured(None, NAMES, NOW)


def authorities(chain: Chain) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(chain.authorities.encode())


def verified(chain: Chain, trusted: str, host: str, moment: datetime) -> list[x509.Certificate]:
    """As a client does it that trusts `trusted`."""
    store = Store(x509.load_pem_x509_certificates(trusted.encode()))
    verifier = PolicyBuilder().store(store).time(moment).build_server_verifier(x509.DNSName(host))
    return verifier.verify(x509.load_pem_x509_certificate(chain.cert.encode()), [])


def test_a_client_that_trusts_the_authority_verifies_both_names_of_the_service(chain: Chain) -> None:
    for host in ("eventbus-default-js-svc.argo.svc", "eventbus-default-js-svc.argo.svc.cluster.local"):
        assert len(verified(chain, chain.authorities, host, NOW)) == 2
    with pytest.raises(x509.verification.VerificationError):
        verified(chain, chain.authorities, "eventbus-other-js-svc.argo.svc", NOW)


def test_servers_of_a_cluster_are_clients_of_each_other() -> None:
    names = certificates.cluster_names("s", "argo")
    leaf = x509.load_pem_x509_certificate(certificates.ensured(None, names, NOW).cert.encode())
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert names.dns == ("*.s.argo.svc.cluster.local", "*.s.argo.svc")


def test_nothing_changes_while_nothing_is_due(chain: Chain) -> None:
    assert certificates.ensured(chain, NAMES, NOW + LEAF / 2) == chain


def test_a_leaf_is_renewed_long_before_its_end_and_the_authority_stays(chain: Chain) -> None:
    later = NOW + LEAF - timedelta(days=100)
    renewed = certificates.ensured(chain, NAMES, later)
    assert renewed.cert != chain.cert
    assert (renewed.authorities, renewed.authority_key) == (chain.authorities, chain.authority_key)
    assert verified(renewed, chain.authorities, NAMES.dns[0], later + LEAF / 2)


def test_another_name_is_reason_enough_for_a_new_leaf(chain: Chain) -> None:
    other = Names(("elsewhere.argo.svc",))
    renewed = certificates.ensured(chain, other, NOW + timedelta(hours=2))
    assert verified(renewed, chain.authorities, "elsewhere.argo.svc", NOW + timedelta(hours=2))


def test_the_next_authority_is_trusted_before_it_signs(chain: Chain) -> None:
    near_end = NOW + certificates.AUTHORITY - timedelta(days=300)
    old = certificates.issued(chain, NAMES, near_end - LEAF * 0.7)
    rolled = certificates.ensured(old, NAMES, near_end)
    assert authorities(rolled)[1:] == authorities(old)
    assert rolled.cert == old.cert, "no client knows the new authority yet"
    renewed = certificates.ensured(rolled, NAMES, near_end + timedelta(hours=2))
    assert renewed.cert != old.cert
    assert verified(renewed, rolled.authorities, NAMES.dns[0], near_end + timedelta(hours=2))


def test_without_the_authoritys_key_the_certificates_stay_until_they_are_due(chain: Chain) -> None:
    adopted = replace(chain, authority_key="")
    assert certificates.ensured(adopted, NAMES, NOW + LEAF / 2) == adopted
    due = NOW + LEAF - timedelta(days=100)
    rolled = certificates.ensured(adopted, NAMES, due)
    assert rolled.cert == chain.cert
    assert authorities(rolled)[1:] == authorities(chain)


@pytest.mark.parametrize("broken", ["key", "cert", "authorities"])
def test_what_does_not_fit_together_is_made_anew(chain: Chain, broken: str) -> None:
    other = certificates.ensured(None, NAMES, NOW)
    mixed = replace(chain, **{broken: getattr(other, broken)})
    assert certificates.ensured(mixed, NAMES, NOW).cert not in (chain.cert, other.cert)
    assert certificates.ensured(replace(chain, **{broken: "no PEM"}), NAMES, NOW).cert != chain.cert

"""The webhook's certificates: kept while they are good, replaced with an overlap, long before they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from events.app.admission import certificates
from events.app.admission.certificates import DUE, LIFE, OVERLAP, Chain, ensured

NAMES = ("events-webhook.argo-events.svc", "events-webhook.argo-events.svc.cluster.local")
NOW = datetime(2026, 11, 21, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def chain() -> Chain:
    return ensured(Chain(), NAMES, NOW)


def authorities(chain: Chain) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(chain.authorities.encode())


def test_a_certificate_is_made_for_the_names_of_the_service(chain: Chain) -> None:
    leaf = x509.load_pem_x509_certificate(chain.cert.encode())
    named = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(named.get_values_for_type(x509.DNSName)) == NAMES
    assert set(chain.data()) == {"server-key.pem", "server-cert.pem", "ca-cert.pem"}
    assert Chain.of(chain.data()) == chain


def test_it_is_kept_while_it_is_good(chain: Chain) -> None:
    assert ensured(chain, NAMES, NOW + LIFE - DUE - MINUTE) is chain


def test_the_next_one_is_told_before_it_is_served(chain: Chain) -> None:
    due = NOW + LIFE - DUE + MINUTE
    told = ensured(chain, NAMES, due)
    assert (told.key, told.cert) == (chain.key, chain.cert)
    assert told.next_cert
    assert len(authorities(told)) == 2
    assert ensured(told, NAMES, due + OVERLAP - MINUTE) is told
    served = ensured(told, NAMES, due + OVERLAP)
    assert (served.key, served.cert) == (told.next_key, told.next_cert)
    assert authorities(served) == authorities(told)
    assert "next-server-key.pem" not in served.data()
    later = ensured(served, NAMES, NOW + LIFE + MINUTE)
    assert len(authorities(later)) == 1
    assert later.cert == served.cert


@pytest.mark.parametrize("broken", ["key", "cert", "authorities"])
def test_what_cannot_be_used_is_made_anew(chain: Chain, broken: str) -> None:
    fields = {name: getattr(chain, name) for name in ("key", "cert", "authorities")}
    made = ensured(Chain(**fields | {broken: "no PEM"}), NAMES, NOW)
    assert made.cert != chain.cert
    assert certificates._is_usable(made.key, made.cert, made.authorities, NAMES, NOW)


def test_another_name_or_the_end_make_another_certificate(chain: Chain) -> None:
    assert ensured(chain, ("other.ns.svc",), NOW).cert != chain.cert
    assert ensured(chain, NAMES, NOW + LIFE + MINUTE).cert != chain.cert


def test_a_key_of_another_certificate_does_not_fit(chain: Chain) -> None:
    other = ensured(Chain(), NAMES, NOW)
    assert ensured(Chain(other.key, chain.cert, chain.authorities), NAMES, NOW).cert != chain.cert


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, DUE.days // 2), min_size=1, max_size=8))
def test_clients_always_know_who_signed(days: list[int]) -> None:
    """Whatever the time between two looks is, what is served is signed by what was told."""
    now, kept = NOW, ensured(Chain(), NAMES, NOW)
    for pause in days:
        now += timedelta(days=pause)
        told, kept = kept, ensured(kept, NAMES, now)
        assert certificates._is_usable(kept.key, kept.cert, kept.authorities, NAMES, now)
        assert certificates._is_usable(kept.key, kept.cert, told.authorities, NAMES, now)

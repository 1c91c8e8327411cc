"""The mailbox between real threads."""

import threading

from tpf_ros.mailbox import Mailbox


def test_the_newest_item_wins_and_the_others_are_counted():
    mailbox = Mailbox()
    for k in range(5):
        mailbox.put(k)
    assert (mailbox.take(), mailbox.dropped) == (4, 4)
    assert mailbox.take(timeout=0) is None


def test_items_that_are_false_are_items():
    mailbox = Mailbox()
    mailbox.put(0)
    assert mailbox.take(timeout=0) == 0


def test_a_slow_taker_sees_items_in_order_and_loses_none_uncounted():
    mailbox, taken = Mailbox(), []

    def take():
        while (item := mailbox.take()) is not None:
            taken.append(item)

    taker = threading.Thread(target=take)
    taker.start()
    for k in range(20_000):
        mailbox.put(k)
    while not taken or taken[-1] != 19_999:
        pass
    mailbox.close()
    taker.join(timeout=10)
    assert not taker.is_alive()
    assert taken == sorted(set(taken))
    assert len(taken) + mailbox.dropped == 20_000


def test_wake_ends_one_wait_and_loses_no_item():
    mailbox, results = Mailbox(), []
    taker = threading.Thread(target=lambda: results.append(mailbox.take()))
    taker.start()
    mailbox.wake()
    taker.join(timeout=10)
    assert results == [None]
    mailbox.put(1)
    mailbox.wake()
    assert mailbox.take() == 1
    mailbox.wake()
    assert mailbox.take() is None and mailbox.take(timeout=0) is None


def test_close_wakes_whoever_waits_and_stays_closed():
    mailbox, results = Mailbox(), []
    takers = [threading.Thread(target=lambda: results.append(mailbox.take())) for _ in range(3)]
    for taker in takers:
        taker.start()
    mailbox.close()
    for taker in takers:
        taker.join(timeout=10)
    assert results == [None] * 3
    mailbox.put(1)
    assert mailbox.closed and mailbox.take() is None

"""What ends a process, or begins one: Ctrl-C, exits, forks, brokers that are not there."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import pytest

import tidelog
from tidelog import errors


def python(program, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    "wait",
    [
        "next(consumer)",
        "consumer.poll(60)",
        "consumer.to_arrow_reader().read_next_batch()",
        "pyarrow.RecordBatchReader.from_stream(consumer).read_next_batch()",
    ],
)
def test_interrupts_end_a_wait(broker, orders_topic, wait):
    # The last has an end that does not come: rows of a partition up to one that is not there yet.
    until = "{0: 10**6}" if "from_stream" in wait else "None"
    program = f"""
        import sys, time, pyarrow, tidelog
        client = tidelog.connect(sys.argv[1])
        consumer = client.consumer(sys.argv[2], partitions=[0], start="latest", until={until})
        print("waiting", flush=True)
        started = time.monotonic()
        try:
            try:
                {wait}
            except OSError:
                while time.monotonic() - started < 60:
                    time.sleep(0.01)
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - started < 30)
    """
    process = python(program, broker.address, orders_topic)
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    output, complaints = process.communicate(timeout=30)
    assert (output, process.returncode) == ("interrupted True\n", 0), complaints


def test_a_process_may_end_while_it_waits(broker, orders_topic):
    program = """
        import asyncio, sys, threading, time, tidelog
        client = tidelog.connect(sys.argv[1])
        consumers = [client.consumer(sys.argv[2], start="latest") for _ in range(3)]
        threading.Thread(target=next, args=(consumers[0],), daemon=True).start()

        async def wait():
            waiting = asyncio.ensure_future(anext(consumers[1]))
            await asyncio.sleep(0.3)
            waiting.cancel()

        asyncio.run(wait())
        time.sleep(0.3)
        print("done", flush=True)
    """
    process = python(program, broker.address, orders_topic)
    output, complaints = process.communicate(timeout=30)
    assert (output, complaints, process.returncode) == ("done\n", "", 0)


def test_a_forked_child_is_told(client, orders_topic):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            client.table(orders_topic)
        except RuntimeError as error:
            os.write(writing, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    assert b"forked" in os.read(reading, 1000)
    os.close(reading)


def test_nobody_there():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(errors.TransportError, match=nobody) as lost:
            tidelog.connect(nobody, connect_timeout=1, retry_for=0)
    assert lost.value.retriable
    with pytest.raises(ValueError):
        tidelog.connect(nobody, retry_for=-1)


def test_something_else_there():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(errors.TransportError, match="did not answer"):
            tidelog.connect(address, request_timeout=0.3, retry_for=0)

import subprocess
import sys

from sr_pipeline.processes import describe_process, is_gone


def test_a_process_is_there_until_it_ends():
    assert not is_gone(describe_process())
    code = "from sr_pipeline.processes import describe_process; print(describe_process())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert is_gone(ended)


def test_a_number_given_to_another_process_is_no_sign_of_life():
    host, number, _ = describe_process().split()
    assert is_gone(f"{host} {number} 1.00")


def test_nobody_knows_of_other_machines_and_other_texts():
    _, number, start = describe_process().split()
    assert not is_gone(f"elsewhere {number} {start}")
    assert not is_gone("")

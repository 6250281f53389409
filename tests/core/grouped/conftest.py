"""What the tests of the grouped model share."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Many small operations: threads only get in each other's way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

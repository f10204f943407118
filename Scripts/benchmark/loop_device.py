"""A file as a block device of this machine, like the volume of a cloud."""

from pathlib import Path

from filesystem import run


class LoopDevice:
    """A context manager for a loop device, which bypasses the page cache for its file. It needs root.

    A throttle on it slows down the image and nothing else, such as the server's own program, which is read again if
    memory is scarce.
    """

    def __init__(self, image: Path):
        self.image = image

    def __enter__(self) -> Path:
        self.device = run("losetup", "--find", "--show", "--direct-io=on", str(self.image)).strip()
        try:
            self.check()
        except BaseException:
            # Python does not leave what it has not entered.
            self.__exit__()
            raise
        return Path(self.device)

    def check(self) -> None:
        if Path(f"/sys/block/{Path(self.device).name}/loop/dio").read_text().strip() != "1":
            raise OSError(f"a loop device cannot bypass the page cache for {self.image}")

    def __exit__(self, *_: object) -> None:
        run("losetup", "--detach", self.device)

"""A simulated machine with AMD cards: all that runs on it has them in its /sys and /dev.

    box = AmdBox(cards=2)              two alike; AmdBox(example="mi300x") one of sim/machines
    box.set(0, used=9000)              changes a card, under all that runs
    box.run("status", user=ALICE)      as on any other box
    box.sysfs("class/kfd/kfd/proc")    a path in its /sys, to be read from outside
"""

import pathlib
import subprocess

import harness
from harness import ROOT, SOURCE

MIB = 1024 * 1024


def unique_id(index):
    return f"{0xA0 + index:x}00000000000{index:03x}"


class AmdBox(harness.Box):
    place = "/dev/shm"  # hundreds of files, which a disk would make slow

    def __init__(self, cards=1, example=None, vram=24560):
        super().__init__(cards=0)
        if example:
            self.extra = (SOURCE / f"sim/machines/{example}.txt").read_text().splitlines()
        self.cards = [] if example else [
            {"pci": f"0000:{0x10 + i:02x}:00.0", "vram": vram, "unique_id": unique_id(i)} for i in range(cards)]
        self.write()

    def write(self):
        if not self.cards and not self.extra:
            return  # it is not set up yet
        lines = list(self.extra)
        for card in self.cards:
            lines.append("amd " + " ".join(f"{key}={value}" for key, value in card.items()))
        lines += ["process " + line for line in self.listed]
        self.write_text("\n".join(lines) + "\n")
        done = subprocess.run([self.layer, self.machine, "--update"], capture_output=True, text=True)
        assert done.returncode == 0, done

    def write_text(self, text):
        fresh = self.folder / "machine.new"
        fresh.write_text(text)
        fresh.chmod(0o644)
        fresh.rename(self.machine)

    @property
    def layer(self):
        return str(harness.BIN / "gpu-sim-sysfs")

    def start_plain(self, *words, user=ROOT, **options):
        become = ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"] if user is not ROOT else []
        return super().start_plain(self.layer, self.machine, "--", *become, *words, **options)

    def sysfs(self, path):
        return pathlib.Path(f"{self.machine}.sysfs/sys", path)

    # What the files say.

    def card_folder(self, address):
        return self.sysfs(f"bus/pci/devices/{address}").resolve()

    def used_mib(self, address):
        return int((self.card_folder(address) / "mem_info_vram_used").read_text()) // MIB

    def busy(self, address):
        return int((self.card_folder(address) / "gpu_busy_percent").read_text())

    def listed_pids(self):
        return sorted(int(entry.name) for entry in self.sysfs("class/kfd/kfd/proc").iterdir())

    def gpu_ids(self):
        """Of KFD's GPUs, in its order."""
        nodes = sorted(self.sysfs("class/kfd/kfd/topology/nodes").iterdir(), key=lambda node: int(node.name))
        ids = [int((node / "gpu_id").read_text()) for node in nodes]
        return [gpu_id for gpu_id in ids if gpu_id]

    def vram_mib(self, pid):
        """What KFD says that this process has on each GPU."""
        folder = self.sysfs(f"class/kfd/kfd/proc/{pid}")
        return [int((folder / f"vram_{gpu_id}").read_text()) // MIB for gpu_id in self.gpu_ids()]

    def queues(self, pid):
        """The places among the GPUs of those that this process has a queue on."""
        files = self.sysfs(f"class/kfd/kfd/proc/{pid}/queues").glob("*/gpuid")
        return sorted(self.gpu_ids().index(int(file.read_text())) for file in files)

    def outsider(self, card=0, user=ROOT, memory=4000, **env):
        env = {"ROCR_VISIBLE_DEVICES": card, **env}
        process = self.start_plain(self.sim_job, "--memory", memory, "--for", -1, user=user, env=env)
        process.wait_for("holds", stdout=True)
        return process

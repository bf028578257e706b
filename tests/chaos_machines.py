"""What chaos.py runs on: cards of NVIDIA, cards beside instances, cards of AMD.

A device has the name that GPU_GATE_INDICES gives it: "0", or "1:0" for an instance.
"""

import harness
from amd_box import AmdBox

MEMORY_MIB = 46068
RESERVED_MIB = 600
NO_LIMIT = float("inf")


class Cards:
    variable = "CUDA_VISIBLE_DEVICES"  # tells a job its cards
    line = ""            # how the names of those in line end
    is_uniform = True    # every device counts the same for turns
    loss_is_absence = False  # a device that is lost is not there, or answers no question
    limits = (2, 3, NO_LIMIT, NO_LIMIT)  # what the policy's max-per-user may be

    def __init__(self, cards):
        self.cards = cards
        self.usable = {str(card): MEMORY_MIB - RESERVED_MIB for card in range(cards)}  # a device to its MiB
        self.kinds = [frozenset(self.usable)]  # those of different kinds are never given together
        self.can_be_lost = sorted(self.usable)

    def make_box(self, lines):
        """The machine, with these further lines in its file."""
        self.box = harness.Box(cards=self.cards, memory=MEMORY_MIB, reserved=RESERVED_MIB)
        self.box.extra = lines
        self.box.write()
        return self.box

    def started_as(self, user, words):
        """What to start for this user to run these words on the machine, and with which options of Popen."""
        return words, user.options()

    def name(self, device):
        """In that variable, for who does not ask gpu-gate."""
        return device

    def gone_with(self, device):
        """All devices that are lost with it."""
        return [device]

    def lose(self, device):
        self.box.set(int(device), lost=1)

    def returns(self, device):
        self.box.set(int(device), lost=None)

    def usable_for(self, count, only, size):
        """Of these devices those that a request for so many of this size in MiB could ever be given; perhaps none."""
        kinds = ({device for device in kind & only if self.usable[device] >= size} for kind in self.kinds)
        return frozenset().union(*(kind for kind in kinds if len(kind) >= count))

    def may_keep_less(self, count, usable):
        """May a request for so many, which could be given these, keep some of them from others and leave others?"""
        return count > 1 and sum(bool(kind & usable) for kind in self.kinds) > 1


class Instances(Cards):
    """The last card is in MIG mode, and has half of the devices."""

    is_uniform = False  # an instance is less than a card
    loss_is_absence = True
    limits = (NO_LIMIT,)  # what is held is not judged, for the same reason
    memory, reserved = 11264, 64

    def __init__(self, cards):
        super().__init__(cards)
        whole = max(1, cards // 2)
        self.divided = whole
        self.usable = {str(card): MEMORY_MIB - RESERVED_MIB for card in range(whole)}
        self.instances = {f"{whole}:{slot}": slot for slot in range(max(2, cards - whole))}
        self.kinds = [frozenset(self.usable), frozenset(self.instances)]
        self.usable |= dict.fromkeys(self.instances, self.memory - self.reserved)
        self.can_be_lost = sorted(self.usable) + [str(self.divided)]
        self.gone = set()

    def make_box(self, lines):
        self.cards = self.divided + 1
        box = super().make_box(lines)
        box.cards[-1]["mig"] = 1
        self.list_instances()
        return box

    def list_instances(self):
        self.box.instances = [
            f"gpu={self.divided} gi={slot + 1} slot={slot} uuid={self.name(device)} memory={self.memory} reserved={self.reserved}"
            for device, slot in self.instances.items() if device not in self.gone]
        self.box.write()

    def name(self, device):
        if device in self.instances:
            return f"MIG-{self.instances[device]:08x}-0000-5000-8000-000000000000"
        return harness.uuid(int(device))

    def gone_with(self, device):
        return sorted(self.instances) if device == str(self.divided) else [device]

    def lose(self, device):
        if device in self.instances:
            self.gone.add(device)
            self.list_instances()
        else:
            super().lose(device)

    def returns(self, device):
        if device in self.instances:
            self.gone.discard(device)
            self.list_instances()
        else:
            super().returns(device)


class AmdCards(Cards):
    variable = "ROCR_VISIBLE_DEVICES"
    line = "@amd"
    loss_is_absence = True

    def __init__(self, cards):
        super().__init__(cards)
        self.usable = dict.fromkeys(self.usable, MEMORY_MIB)
        self.can_be_lost = [str(cards - 1)]  # behind it no other one changes its number

    def make_box(self, lines):
        self.box = AmdBox(cards=self.cards, vram=MEMORY_MIB)
        self.box.extra = lines
        self.box.write()
        return self.box

    def started_as(self, user, words):
        become = ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"] if user.options() else []
        return [self.box.layer, str(self.box.machine), "--", *become, *words], {}


MACHINES = {"cards": Cards, "mig": Instances, "amd": AmdCards}

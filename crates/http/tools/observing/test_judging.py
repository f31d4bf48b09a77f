"""Each way in which a client can be told what is not the log is seen. Called by the script `observers`
beside this directory, before the clients are compared."""

import copy
import unittest

from judging import judge


def event(position):
    return {"cursor": f"c{position:04}", "position": position, "seq": position - 1, "type": "usage", "data": {}}


def frame(name, cursor, data=None):
    return {"frame": name, "id": cursor, "data": {"cursor": cursor} | (data or {})}


def told(*positions):
    return [frame("event", event(position)["cursor"], event(position)) for position in positions]


# All there ever was; of 14 there is nothing, as it is another Worker's.
LOG = [event(position) for position in range(2, 21) if position != 14]
TRIMS = [12, 18]
GAP = {"cause": "retention", "from": 8, "to": 12, "seqs": None}
LATER = {"cause": "retention", "from": 16, "to": 18, "seqs": [15, 17]}
# Cut off once, and trimmed twice: on coming back, and with the stream open.
GOOD = [
    frame("started", "c0000"),
    *told(*range(2, 8)),
    frame("started", "c0007"),
    frame("gap", "c0012", GAP),
    *told(13),
    frame("heartbeat", "c0014"),
    *told(15),
    frame("gap", "c0018", LATER),
    *told(19, 20),
]


class Judged(unittest.TestCase):
    def is_wrong(self, *changes):
        """Each change is made alone."""
        for change in changes:
            frames = copy.deepcopy(GOOD)
            change(frames)
            self.assertNotEqual(judge(frames, LOG, TRIMS, 1), [], change)

    def test_the_log_is_good(self):
        self.assertEqual(judge(GOOD, LOG, TRIMS, 1), [])

    def test_a_frame_that_is_lost_doubled_or_moved_is_seen(self):
        for index, one in enumerate(GOOD):
            if one["frame"] != "heartbeat":
                self.is_wrong(lambda frames: frames.pop(index), lambda frames: frames.insert(index, one))
        self.is_wrong(lambda frames: frames.insert(2, frames.pop(3)), lambda frames: frames.insert(8, frames.pop(9)))

    def test_another_body_type_id_or_beginning_is_seen(self):
        self.is_wrong(
            lambda frames: frames[3]["data"]["data"].update(more=1),
            lambda frames: frames[3]["data"].update(type="other"),
            lambda frames: frames[3].update(id="c0005"),
            lambda frames: frames[7].update(frame("started", "c0012")),
            lambda frames: frames.append(frame("busy", None)),
        )

    def test_a_gap_of_anything_but_what_was_trimmed_is_seen(self):
        for index in (8, 12):
            for name, by in (("from", -9), ("from", 1), ("to", -1), ("to", 1)):
                self.is_wrong(lambda frames: frames[index]["data"].update({name: frames[index]["data"][name] + by}))
        self.is_wrong(
            lambda frames: frames[8]["data"].update(cause="damaged"),
            lambda frames: frames[12]["data"].update(seqs=[15, 16]),
        )


if __name__ == "__main__":
    unittest.main()

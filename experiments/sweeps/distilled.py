"""A teacher of 100,000 parameters for the records.

Question  do small networks learn more from a large one's outputs than from the labels alone?
Fidelity  15 epochs on the 50,000 training images beside the validation split, which the teacher has not seen either
Analysis  no: with 8,000 and 4,000 parameters four pairs of seeds come out as before, with 2,000 each of the four is
          worse, by 0.12 to 0.17. One teacher, one temperature: others were not tried
Run       make teacher SET="data.validation=true", then make sweep SWEEP=distilled (60 min on two cores)
"""

from experiments.record_2k import SPEC as RECORD_2K
from experiments.record_4k import SPEC as RECORD_4K
from experiments.record_8k import SPEC as RECORD_8K
from tinycnn.spec import Distillation
from tinycnn.spec.sweep import Sweep

TEACHER = Distillation("teacher", temperature=4.0)

SWEEP = Sweep(
    name="distilled",
    base=RECORD_8K,
    arms={
        "8k, teacher": RECORD_8K.but(loss=TEACHER),
        "4k": RECORD_4K,
        "4k, teacher": RECORD_4K.but(loss=TEACHER),
        "2k": RECORD_2K,
        "2k, teacher": RECORD_2K.but(loss=TEACHER),
    },
    fidelity={"data.validation": True},
    seeds=4,
)

"""Whether an installation is as it should be, area by area, and what to do where it is not."""

from iotgw.doctor.examining import AREAS, examine
from iotgw.doctor.printing import print_findings

__all__ = ["AREAS", "examine", "print_findings"]

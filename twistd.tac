"""The gateway: ``twistd -y twistd.tac``. Settings come from IOTGW_... or the file that IOTGW_CONFIG names."""

from iotgw.service import make_application

application = make_application()

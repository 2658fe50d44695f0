"""The gateway: ``twistd -y twistd.tac``. Settings come from IOTGW_... or the file that IOTGW_CONFIG names."""

from iotgw.reactor import install

install()  # before anything imports the one that Twisted would choose

from iotgw.service import make_application  # noqa: E402

application = make_application()

"""`relation-adapter ui`: the page in the browser."""

from __future__ import annotations

import signal
from argparse import Namespace
from pathlib import Path

from relation_adapter.baselines import EDITORS
from relation_adapter.cli.pipelines import check_model, open_pipeline
from relation_adapter.cli.say import result, say
from relation_adapter.errors import UsageError
from relation_adapter.web.limits import Limits
from relation_adapter.web.serve import Server, check_extra


def run(options: Namespace) -> int:
    """Serve until Ctrl-C, which ends it as an interrupted command."""
    check_extra()
    if options.model in EDITORS:
        raise UsageError(
            f"--model {options.model}: a baseline reads no relations; the page takes mini, flux-dev, a file"
        )
    check_model(options)
    limits = Limits(
        upload_mib=options.max_upload,
        megapixels=options.max_megapixels,
        sources=options.max_sources,
        queue=options.queue,
        visit_mib=options.max_visit,
        disk_mib=options.max_disk,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # its files go, whoever ends it
    pipe, name = open_pipeline(options), Path(options.model).name  # visitors are told no paths
    with Server(pipe, name, limits, options.host, options.port, options.share, options.name) as server:
        if not server.only_loopback:
            say("warning: everybody who reaches this address can use it; there is no password")
        result(server.shared or server.url)
        server.wait()
    return 0

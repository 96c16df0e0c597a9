"""What is measured, in the order of the table."""

from __future__ import annotations

from bench.load import Requests, TlsRequests
from bench.measure import Scenario
from bench.rows_deploy import ConfigSet, FirstDeploy, NextDeploy, Restart, Rollback, TwentyDeploys, Unchanged
from bench.rows_load import LoadBigImage, LoadImage, LoadImageEmbedded
from bench.rows_push import BigPush, Push
from bench.rows_read import ManyReads, ReadCommands
from bench.switch import Switch

ALL: tuple[type[Scenario], ...] = (
    ReadCommands,
    ManyReads,
    FirstDeploy,
    NextDeploy,
    Unchanged,
    ConfigSet,
    Restart,
    Rollback,
    Push,
    BigPush,
    LoadImage,
    LoadImageEmbedded,
    LoadBigImage,
    TwentyDeploys,
    Requests,
    TlsRequests,
    Switch,
)

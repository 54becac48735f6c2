"""A Spark cluster of its own for the tests and the benchmark: a master, workers, a Thrift server.

Everything listens on 127.0.0.1, on ports that were free. Tables are kept by Iceberg, in a catalogue
of its own (`ice`) that is the default one; its list of tables is an embedded Derby database inside
the Thrift server. The processes are ended by their ids.

From the command line, for a cluster to look at:

    .venv-engines/bin/python tests/engines/spark_cluster.py FOLDER [WORKERS]
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
START_SECONDS = 120  # to the first answer of the Thrift server, on a busy machine
STOP_SECONDS = 20

# Of a session that dbt, the gates and publishing use. docs/engines.md says which ones a cluster of
# one's own needs; the others make small data quick.
NEEDED = {
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    "spark.sql.defaultCatalog": "ice",
    "spark.sql.catalog.ice": "org.apache.iceberg.spark.SparkCatalog",
    "spark.sql.catalog.ice.type": "hive",
    "spark.sql.session.timeZone": "UTC",
}
_LOGGING = """
rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
logger.ready.name = org.apache.spark.deploy
logger.ready.level = info
"""
SMALL = {
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.constraintPropagation.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
# For data of which a partition is worth a task; Spark's own defaults for the rest.
LARGE = {
    "spark.sql.shuffle.partitions": "16",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.files.maxPartitionBytes": "67108864",
}
_SMALL = "-XX:+UseSerialGC -Xss8m"
# Compiled less, started sooner. Not for the driver, which plans for minutes.
_LIGHT = f"-XX:TieredStopAtLevel=1 {_SMALL}"


class ClusterError(Exception):
    """The cluster could not be started; the message names the log to read."""


@dataclass
class Cluster:
    """A running cluster.

    Attributes:
        folder: logs, warehouse and the catalogue of the cluster.
        port: of the Thrift server, on 127.0.0.1.
        workers: how many worker processes there are.
        processes: what was started, by name, the Thrift server last.
    """

    folder: Path
    port: int
    workers: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the target `spark` of profiles.yml reads."""
        return {
            "CUSTOMER_HEALTH_TARGET": "spark",
            "CUSTOMER_HEALTH_SPARK_HOST": HOST,
            "CUSTOMER_HEALTH_SPARK_PORT": str(self.port),
        }

    @property
    def ids(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: process.pid for name, process in self.processes.items()}

    def stop(self) -> None:
        """End the processes, the last one first; executors end with their worker."""
        for process in reversed(self.processes.values()):
            _end(process)
        self.processes.clear()


@contextmanager
def running_cluster(
    folder: Path,
    *,
    workers: int = 2,
    cores: int = 1,
    worker_memory: str = "1g",
    driver_memory: str = "1500m",
    settings: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """Start a cluster, and end it whatever happens.

    Args:
        folder: an empty or missing folder for logs and tables.
        workers: worker processes, each with one executor.
        cores: cores of each worker.
        worker_memory: memory of each executor, in the JVM's spelling.
        driver_memory: memory of the Thrift server, which plans all statements.
        settings: of Spark, in place of those of small data.

    Raises:
        ClusterError: when a process ends early or the server does not answer.
    """
    cluster = start_cluster(
        folder,
        workers=workers,
        cores=cores,
        worker_memory=worker_memory,
        driver_memory=driver_memory,
        settings=settings,
    )
    try:
        yield cluster
    finally:
        cluster.stop()


def start_cluster(
    folder: Path,
    *,
    workers: int = 2,
    cores: int = 1,
    worker_memory: str = "1g",
    driver_memory: str = "1500m",
    settings: Mapping[str, str] | None = None,
) -> Cluster:
    """Start master, workers and Thrift server; see `running_cluster`."""
    spark, jar = _spark_home(), iceberg_jar()
    folder = folder.resolve()
    for name in ("conf", "logs", "warehouse", "tmp", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "conf" / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")
    cluster = Cluster(folder=folder, port=_free_port(), workers=workers)
    driver_java, java = (_SMALL, _LIGHT) if settings is None else ("-Xss8m", "-Xss8m")
    master = f"spark://{HOST}:{_free_port()}"
    spark_class = [str(spark / "bin" / "spark-class")]
    try:
        _start(
            cluster,
            "master",
            [
                *spark_class,
                "org.apache.spark.deploy.master.Master",
                *("--host", HOST, "--port", master.rsplit(":", 1)[1], "--webui-port", "0"),
            ],
        )
        _wait_for_port(cluster, "master", int(master.rsplit(":", 1)[1]))
        for number in range(1, workers + 1):
            _start(
                cluster,
                f"worker{number}",
                [
                    *spark_class,
                    "org.apache.spark.deploy.worker.Worker",
                    *("--host", HOST, "--webui-port", "0", "--cores", str(cores)),
                    *("--memory", worker_memory, "--work-dir", str(folder / "work")),
                    master,
                ],
            )
        conf = {
            **NEEDED,
            **(SMALL if settings is None else settings),
            "spark.sql.catalog.ice.warehouse": str(folder / "warehouse"),
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
            # The embedded metastore has no locks that Iceberg could wait for.
            "spark.hadoop.iceberg.engine.hive.lock-enabled": "false",
            "spark.hadoop.javax.jdo.option.ConnectionURL": (
                "jdbc:derby:memory:metastore;create=true"
            ),
            "spark.hadoop.datanucleus.schema.autoCreateAll": "true",
            "spark.hadoop.hive.metastore.schema.verification": "false",
            "spark.hadoop.hive.server2.thrift.bind.host": HOST,
            "spark.hadoop.hive.server2.thrift.port": str(cluster.port),
            "spark.driver.host": HOST,
            "spark.driver.bindAddress": HOST,
            "spark.driver.memory": driver_memory,
            "spark.executor.memory": worker_memory,
            "spark.driver.extraClassPath": str(jar),
            "spark.executor.extraClassPath": str(jar),
            "spark.driver.extraJavaOptions": (
                f"-Dderby.stream.error.file={folder / 'logs' / 'derby.log'} {driver_java}"
            ),
            "spark.executor.extraJavaOptions": java,
            "spark.local.dir": str(folder / "tmp"),
        }
        _start(
            cluster,
            "thriftserver",
            [
                str(spark / "bin" / "spark-submit"),
                *("--class", "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"),
                *("--name", "customer_health", "--master", master),
                *(part for key, value in conf.items() for part in ("--conf", f"{key}={value}")),
                "spark-internal",
            ],
            driver_memory=driver_memory,
        )
        _wait_for_port(cluster, "thriftserver", cluster.port)
    except BaseException:
        cluster.stop()
        raise
    return cluster


def iceberg_jar() -> Path:
    """The Iceberg runtime for Spark 3.5, as the environment of the engines has it.

    Raises:
        ClusterError: when the environment lacks it.
    """
    try:
        import snowpark_connect_deps_iceberg as package
    except ImportError as error:
        raise ClusterError("no Iceberg here: make test-engines builds .venv-engines") from error
    jars = Path(str(package.__file__)).parent / "jars"
    found = sorted(jars.glob("iceberg-spark-runtime-3.5_2.12-*.jar"))
    if not found:
        raise ClusterError(f"no iceberg-spark-runtime-3.5_2.12 in {jars}")
    return found[-1]


def _spark_home() -> Path:
    """Where pyspark lies, which brings Spark itself."""
    try:
        import pyspark
    except ImportError as error:
        raise ClusterError("no pyspark here: make test-engines builds .venv-engines") from error
    return Path(str(pyspark.__file__)).parent


def _start(cluster: Cluster, name: str, command: list[str], *, driver_memory: str = "256m") -> None:
    """Start a process of the cluster, in a session of its own, with its output in a log."""
    environment = {
        **os.environ,
        "SPARK_HOME": str(_spark_home()),
        "SPARK_LOCAL_IP": HOST,
        "SPARK_LOCAL_HOSTNAME": HOST,
        "SPARK_CONF_DIR": str(cluster.folder / "conf"),  # nobody's own configuration takes part
        "SPARK_DAEMON_MEMORY": driver_memory if name == "thriftserver" else "256m",
        "TMPDIR": str(cluster.folder / "tmp"),
        "PYSPARK_PYTHON": sys.executable,
    }
    with (cluster.folder / "logs" / f"{name}.log").open("wb") as log:
        cluster.processes[name] = subprocess.Popen(
            command,
            cwd=cluster.folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def _wait_for_port(cluster: Cluster, name: str, port: int) -> None:
    """Wait until a process listens.

    Raises:
        ClusterError: when it ended or took too long.
    """
    log = cluster.folder / "logs" / f"{name}.log"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if cluster.processes[name].poll() is not None:
            raise ClusterError(f"Spark's {name} ended early: {log}")
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.2)
    raise ClusterError(f"Spark's {name} does not listen after {START_SECONDS} s: {log}")


def _free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> None:
    """Run a cluster until it is interrupted, and tell how to reach it."""
    folder = Path(sys.argv[1])
    workers = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the cluster ends too
    with running_cluster(folder, workers=workers) as cluster:
        for name, value in cluster.environment.items():
            print(f"export {name}={value}")
        print(f"# process ids: {cluster.ids}", flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()

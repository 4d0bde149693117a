"""The Slurm script and the Kubernetes job of docs/hosts.md: linted, and their commands compared with the real flags."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from keras_res3d.commands.main import flags_of
from keras_res3d.training.cluster import cluster_of
from tests.docs.markdown import ROOT, blocks, pages

PAGE = "docs/hosts.md"
pytestmark = pytest.mark.skipif(PAGE not in pages(), reason="the tests lie without the pages")


def block(tool):
    (found,) = (each.text for each in blocks(PAGE) if each.mark == f"not run: needs {tool}")
    return found


def flags_in(text):
    """The flags of the command of this package in a script."""
    command = re.sub(r"\\\n", " ", text[text.index("keras-res3d train") :])
    return dict(re.findall(r"--(\w+) (\S+)", command))


@pytest.fixture(scope="module")
def known():
    with flags_of("train") as (_, names):
        yield names


@pytest.mark.parametrize("tool", ["Slurm", "Kubernetes"])
def test_the_command_has_flags_that_there_are(tool, known):
    found = flags_in(block(tool))
    assert found["strategy"] == "multi_worker" and set(found) - {"kill"} <= known


def test_the_slurm_script_is_linted(tmp_path):
    script = tmp_path / "train.slurm"
    script.write_text(block("Slurm"))
    assert script.read_text().startswith("#!/bin/bash\n#SBATCH ")
    subprocess.run(["bash", "-n", script], check=True)
    beside = os.path.join(os.path.dirname(sys.executable), "shellcheck")
    shellcheck = shutil.which("shellcheck") or shutil.which(beside)
    if shellcheck:
        done = subprocess.run([shellcheck, script], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_the_kubernetes_job_is_linted():
    yaml = pytest.importorskip("yaml")
    service, job = yaml.safe_load_all(block("Kubernetes"))
    try:
        import kubernetes_validate
    except ImportError:
        kubernetes_validate = None
    for each in (service, job) if kubernetes_validate else ():
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
    assert (service["kind"], job["kind"]) == ("Service", "Job") and service["spec"]["clusterIP"] == "None"
    pod, name = job["spec"]["template"], service["metadata"]["name"]
    assert service["spec"]["selector"] == pod["metadata"]["labels"] and pod["spec"]["subdomain"] == name
    count = job["spec"]["completions"]
    (container,), port = pod["spec"]["containers"], service["spec"]["ports"][0]["port"]
    assert job["spec"]["parallelism"] == count and container["ports"] == [{"containerPort": port}]
    # An indexed job calls its pods job-0, job-1 and so on.
    workers = [f"{job['metadata']['name']}-{number}.{name}:{port}" for number in range(count)]
    command = shlex.split(container["command"][-1])
    assert command[command.index("--workers") + 1].split(",") == workers
    for number in range(count):
        cluster_of({"cluster": {"worker": workers}, "task": {"type": "worker", "index": number}})


@pytest.mark.slow
def test_the_slurm_script_trains_on_one_node(tmp_path):
    """The script itself, with stand-ins for Slurm's commands."""
    stand_ins = {
        "scontrol": 'echo "$*" >> calls; [ "$1" = requeue ] || echo localhost',
        "srun": 'while [ "${1#--}" != "$1" ]; do shift; done; SLURM_PROCID=0 exec "$@"',
        "keras-res3d": f'exec {sys.executable} -m keras_res3d.commands.main "$@"',
    }
    for name, text in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    script = re.sub(r"--data \S+ --validation \S+ --net sr18", "--data motion --net d10 --width 2 --crop 16",
                    block("Slurm"))  # fmt: skip
    script = re.sub(r"--batch_size \d+ --checkpoint_steps \d+ --output \S+",
                    '--batch_size 4 --iterations "$ITERATIONS" --output run', script)  # fmt: skip
    (tmp_path / "train.slurm").write_text(script)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "TF_CONFIG": "",
                   "SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "localhost"}  # fmt: skip

    def submit(iterations):
        run = ["bash", "train.slurm"]
        return subprocess.run(run, cwd=tmp_path, env={**environment, "ITERATIONS": iterations}).returncode

    assert submit("0") == 1 and "requeue" in (tmp_path / "calls").read_text()
    assert submit("2") == 0 and (tmp_path / "run" / "model.keras").exists()

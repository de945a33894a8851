"""What docker-compose.yml, the image and the manifest promise. They are read, not run."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tunelab.spec.study_file import read_study_file

ROOT = Path(__file__).parents[2]
SERVICES = ("db", "init", "mlflow", "mirror", "controller", "worker")
OURS = tuple(name for name in SERVICES if name != "db")
LASTING = tuple(name for name in SERVICES if name != "init")
CONNECTED = ("mirror", "controller", "worker")
PASSWORDS = {"postgres_password", "tunelab_database_password", "mlflow_database_password"}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


COMPOSE = YAML(typ="safe").load(text("docker-compose.yml"))
DEPLOYMENT = YAML(typ="safe").load(text("deploy/kubernetes.yaml"))


def service(name: str) -> dict:
    return COMPOSE["services"][name]


def volumes(name: str) -> dict[str, tuple[str, str]]:
    """Source and mode by the place where it is mounted."""
    mounted = [entry.split(":") for entry in service(name).get("volumes", [])]
    return {place: (source, (*mode, "rw")[0]) for source, place, *mode in mounted}


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


def test_the_services_are_these():
    assert set(COMPOSE["services"]) == set(SERVICES)
    assert not any("profiles" in service(name) for name in SERVICES)


# --- what every container is held to


@pytest.mark.parametrize("name", SERVICES)
class TestConfinement:
    def test_runs_as_nobody_in_particular(self, name):
        assert service(name)["user"] == ("999:999" if name == "db" else "10001:10001")

    def test_cannot_write_its_root(self, name):
        assert service(name)["read_only"] is True
        for entry in service(name)["tmpfs"]:
            assert "size=" in entry  # it is memory
        assert any(entry.startswith("/tmp:") for entry in service(name)["tmpfs"])

    def test_has_no_capability_and_gains_none(self, name):
        assert service(name)["cap_drop"] == ["ALL"]
        assert service(name)["security_opt"] == ["no-new-privileges:true"]
        for key in (
            "cap_add",
            "privileged",
            "devices",
            "pid",
            "ipc",
            "network_mode",
            "userns_mode",
        ):
            assert key not in service(name)

    def test_reaps_children_and_hands_signals_on(self, name):
        assert service(name)["init"] is True
        assert service(name)["stop_grace_period"] == "30s"

    def test_has_limits(self, name):
        assert service(name)["mem_limit"] in ("1g", "2g")
        assert 0 < service(name)["pids_limit"] <= 512
        assert service(name)["logging"]["options"] == {"max-size": "10m", "max-file": "3"}

    def test_commands_go_through_no_shell(self, name):
        for key in ("command", "entrypoint"):
            assert isinstance(service(name).get(key, []), list)

    def test_sees_no_socket_of_the_engine_and_no_folder_but_studies(self, name):
        for source, mode in volumes(name).values():
            assert source in COMPOSE["volumes"] or (source, mode) == ("./studies", "ro")


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        *((name, "unless-stopped") for name in ("db", "mlflow", "mirror", "controller")),
        ("worker", "on-failure:5"),
        ("init", "no"),
    ],
)
def test_restart_policies(name, policy):
    assert service(name)["restart"] == policy


# --- images


def test_images_are_pinned():
    assert service("db")["image"] == "postgres:17"  # from 18 on the data are elsewhere
    assert {service(name)["image"] for name in OURS} == {f"tunelab:{VERSION}"}


def test_one_service_builds_the_image_of_all():
    assert [name for name in SERVICES if "build" in service(name)] == ["worker"]


def test_the_image_is_pinned_small_and_nobody_s():
    lines = text("Dockerfile").splitlines()
    assert [line for line in lines if line.startswith("FROM")] == ["FROM python:3.11-slim"]
    assert "USER 10001:10001" in lines
    assert 'ENTRYPOINT ["tunelab"]' in lines
    assert "pip install -c constraints.txt '.[postgres]'" in text("Dockerfile")
    assert "apt-get" not in text("Dockerfile")


def test_volumes_are_mounted_on_folders_that_the_image_has():
    """A new volume takes over their owner; on any other folder it would belong to root."""
    [made] = [line for line in text("Dockerfile").splitlines() if "install -d -o tunelab" in line]
    for name in OURS:
        for place, (source, _) in volumes(name).items():
            assert source.startswith("./") or place in made.split()


def test_the_image_takes_nothing_by_accident():
    entries = [line for line in text(".dockerignore").splitlines() if not line.startswith("#")]
    assert entries[0] == "*"
    copied = {"constraints.txt", "pyproject.toml", "README.md", "LICENSE", "tunelab", "deploy"}
    assert {entry[1:] for entry in entries if entry.startswith("!")} == copied


# --- networks


def test_the_database_has_no_way_out_and_no_port():
    assert service("db")["networks"] == ["back"]
    assert COMPOSE["networks"]["back"] == {"internal": True}
    assert not any(key in service("db") for key in ("ports", "expose"))


def test_ports_are_those_of_this_machine_alone():
    assert [name for name in SERVICES if "ports" in service(name)] == ["mlflow"]
    assert service("mlflow")["ports"] == ["127.0.0.1:${MLFLOW_PORT:-5000}:5000"]


@pytest.mark.parametrize("name", SERVICES)
def test_only_mlflow_and_the_controller_are_in_front(name):
    in_front = name in ("mlflow", "controller")
    assert service(name)["networks"] == (["front", "back"] if in_front else ["back"])


# --- secrets


def test_secrets_are_files_without_a_default():
    assert set(COMPOSE["secrets"]) == PASSWORDS
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": "${SECRETS_FOLDER:-./secrets}/" + name}
        assert not (ROOT / "secrets" / name).is_symlink()


def test_no_service_gets_a_password_that_it_does_not_need():
    given = {name: set(service(name).get("secrets", [])) for name in SERVICES}
    assert given == {
        "db": {"postgres_password"},
        "init": PASSWORDS,
        "mlflow": {"mlflow_database_password"},
        **{name: {"tunelab_database_password"} for name in CONNECTED},
    }


@pytest.mark.parametrize("name", SERVICES)
def test_passwords_come_from_files_that_the_service_has(name):
    for variable, value in service(name)["environment"].items():
        if "PASSWORD" in variable:
            assert variable.endswith("_FILE")
            assert value.removeprefix("/run/secrets/") in service(name)["secrets"]
        else:
            assert not re.search(r"://[^/@]*:[^/@]*@", str(value))  # user:password@


def test_git_and_the_image_know_no_secrets():
    assert {"/.env", "/secrets/"} <= set(text(".gitignore").splitlines())
    assert "secrets" not in text(".dockerignore").split("*", 1)[1]
    tracked = text(".env.example")
    assert not re.search(r"(?i)(password|token|key)\w*=", tracked)


def test_every_variable_of_the_file_is_in_the_example():
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", text("docker-compose.yml")))
    assert used == set(re.findall(r"(?m)^(\w+)=", text(".env.example")))


def test_chosen_passwords_are_random_stay_and_are_kept_from_others(tmp_path):
    folder = tmp_path / "secrets"

    def choose() -> dict[str, str]:
        command = ["sh", str(ROOT / "deploy/passwords.sh"), str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        return {file.name: file.read_text() for file in folder.iterdir()}

    chosen = choose()
    assert set(chosen) == PASSWORDS
    assert len(set(chosen.values())) == 3
    assert all(re.fullmatch(r"[0-9a-f]{48}", password) for password in chosen.values())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o444}
    assert choose() == chosen


def test_roles_are_let_in_by_scram_alone():
    assert service("db")["environment"]["POSTGRES_INITDB_ARGS"] == "--auth=scram-sha-256"
    assert not any("TRUST" in str(value).upper() for value in service("db")["environment"].values())


# --- order and health


def test_init_runs_once_the_database_lets_clients_in_and_before_all_others():
    assert service("init")["depends_on"] == {"db": {"condition": "service_healthy"}}
    for name in ("mlflow", *CONNECTED):
        waits = service(name)["depends_on"]
        assert waits["init"] == {"condition": "service_completed_successfully"}
        assert waits["db"] == {"condition": "service_healthy"}


def test_workers_do_not_wait_for_mlflow():
    assert "mlflow" not in service("worker")["depends_on"]
    assert "mlflow" not in service("controller")["depends_on"]
    assert service("mirror")["depends_on"]["mlflow"] == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", LASTING)
def test_health_is_asked_for_and_slow_machines_get_time(name):
    check = service(name)["healthcheck"]
    assert seconds(check["start_period"]) >= (180 if name == "mlflow" else 120)
    assert check["retries"] >= 3
    assert "start_interval" not in check  # needs a newer engine than many have


def test_the_database_is_healthy_when_the_password_opens_it_over_tcp():
    [kind, command] = service("db")["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    assert "psql -h 127.0.0.1" in command
    assert "/run/secrets/postgres_password" in command


def test_mlflow_is_healthy_when_it_answers_to_its_service_s_name():
    command = service("mlflow")["healthcheck"]["test"]
    assert command == ["CMD", "python", "/opt/tunelab/deploy/mlflow_health.py"]
    assert '"http://mlflow:5000/api/' in text("deploy/mlflow_health.py")


@pytest.mark.parametrize("name", CONNECTED)
def test_the_others_are_healthy_when_they_may_write_to_the_database(name):
    command = service(name)["healthcheck"]["test"]
    assert command == ["CMD", "python", "/opt/tunelab/deploy/health.py"]


# --- MLflow


def test_mlflow_lets_in_who_calls_it_by_these_names_and_keeps_artifacts_itself():
    command = service("mlflow")["command"]
    assert "--allowed-hosts=mlflow:*,localhost:*,127.0.0.1:*" in command
    assert "--disable-security-middleware" not in command
    assert "--serve-artifacts" in command
    assert "--artifacts-destination=/srv/artifacts" in command
    assert volumes("mlflow") == {"/srv/artifacts": ("artifacts", "rw")}
    assert not any("artifacts" in str(volumes(name)) for name in SERVICES if name != "mlflow")


def test_mlflow_runs_no_jobs_loads_no_pickles_and_calls_nobody():
    environment = service("mlflow")["environment"]
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    for name in ("init", "mlflow", "mirror"):
        assert service(name)["environment"]["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_the_two_databases_have_roles_of_their_own():
    studies = service("worker")["environment"]["TUNELAB_DATABASE_URL"]
    tracking = service("mlflow")["environment"]["MLFLOW_BACKEND_STORE_URI"]
    assert studies == "postgresql+psycopg://tunelab@db/tunelab"
    assert tracking == "postgresql+psycopg://mlflow@db/mlflow"
    made = service("init")["environment"]
    assert made["TUNELAB_DATABASE_URL"] == studies
    assert made["MLFLOW_BACKEND_STORE_URI"] == tracking


def test_the_mirror_writes_to_mlflow_and_who_repairs_it_by_hand():
    found = {n: service(n)["environment"].get("MLFLOW_TRACKING_URI") for n in SERVICES}
    knowing = {name: uri for name, uri in found.items() if uri}
    assert knowing == dict.fromkeys(("mirror", "controller"), "http://mlflow:5000")
    for name in knowing:
        assert service(name)["environment"]["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


# --- files


def test_what_must_last_is_on_named_volumes():
    assert set(COMPOSE["volumes"]) == {"database", "artifacts", "controller", "store"}
    assert volumes("db") == {"/var/lib/postgresql/data": ("database", "rw")}
    assert volumes("controller") == {
        "/studies": ("./studies", "ro"),
        "/srv/tunelab": ("controller", "rw"),
        "/srv/store": ("store", "rw"),
    }


def test_workers_see_prepared_rows_and_neither_studies_nor_sealed_ones():
    assert volumes("worker") == {"/srv/store": ("store", "ro")}
    assert service("worker")["environment"]["TUNELAB_DATA_STORE"] == "/srv/store"
    assert service("controller")["environment"]["TUNELAB_DATA_STORE"] == "/srv/store"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("controller", ["controller", "run", "--studies", "/studies"]),
        ("mirror", ["tracking", "run"]),
        ("worker", ["worker", "run", "--concurrency", "${WORKER_CONCURRENCY:-1}"]),
    ],
)
def test_commands(name, command):
    assert service(name)["command"] == command


@pytest.mark.parametrize("file", sorted((ROOT / "deploy").glob("*.sh")), ids=lambda file: file.name)
def test_scripts_can_be_run(file):
    assert os.access(file, os.X_OK)
    subprocess.run(["sh", "-n", str(file)], check=True)


def test_mlflow_s_password_is_neither_in_its_arguments_nor_in_its_uri(tmp_path):
    (tmp_path / "mlflow").write_text('#!/bin/sh\necho "$PGPASSWORD|$*|$MLFLOW_BACKEND_STORE_URI"\n')
    (tmp_path / "mlflow").chmod(0o755)
    (tmp_path / "password").write_text("s3cret@#/x\n")
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "MLFLOW_BACKEND_STORE_URI": "postgresql+psycopg://mlflow@db/mlflow",
        "MLFLOW_DATABASE_PASSWORD_FILE": str(tmp_path / "password"),
    }
    command = [str(ROOT / "deploy/mlflow.sh"), "--port=5000"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "s3cret@#/x|server --port=5000|postgresql+psycopg://mlflow@db/mlflow\n"


def test_mlflow_without_a_password_does_not_start(tmp_path):
    environment = {
        "PATH": os.environ["PATH"],
        "MLFLOW_DATABASE_PASSWORD_FILE": str(tmp_path / "no"),
    }
    ran = subprocess.run(
        [str(ROOT / "deploy/mlflow.sh")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert "missing or empty" in ran.stderr


def test_the_nightly_study_is_a_sweep():
    study = read_study_file(ROOT / "studies/nightly.yaml").spec
    assert study.sweep is not None
    assert study.sweep.enabled
    assert study.data.split.method == "hash"


# --- Kubernetes


def test_kubernetes_workers_are_held_to_the_same():
    assert (DEPLOYMENT["kind"], DEPLOYMENT["spec"]["replicas"]) == ("Deployment", 2)
    pod = DEPLOYMENT["spec"]["template"]["spec"]
    [worker] = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["terminationGracePeriodSeconds"] == 30
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert worker["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert worker["image"] == f"tunelab:{VERSION}"
    assert worker["args"] == ["worker", "run", "--concurrency", "1"]
    assert worker["resources"]["limits"]["memory"] == "2Gi"


def test_kubernetes_workers_get_the_password_by_file_and_the_store_to_read():
    pod = DEPLOYMENT["spec"]["template"]["spec"]
    [worker] = pod["containers"]
    environment = {entry["name"]: entry["value"] for entry in worker["env"]}
    mounts = {entry["mountPath"]: entry.get("readOnly", False) for entry in worker["volumeMounts"]}
    password_file = Path(environment["TUNELAB_DATABASE_PASSWORD_FILE"])
    assert mounts[str(password_file.parent)] is True
    assert mounts[environment["TUNELAB_DATA_STORE"]] is True
    assert ":" not in environment["TUNELAB_DATABASE_URL"].partition("://")[2]
    assert {entry["name"] for entry in worker["volumeMounts"]} == {
        v["name"] for v in pod["volumes"]
    }

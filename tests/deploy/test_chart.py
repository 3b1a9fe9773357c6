"""The Helm chart: rendered by helm, held against Kubernetes' schemas and against what the code serves and makes."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from fixtures.programs import HELM, checked
from helamem.schemas.topics import TOPICS, inlet_of
from helamem.streams.cli.gateway import PORT
from helamem.streams.config import PREFIX, Config
from helamem.streams.fleet.past import ROOM_BYTES
from helamem.streams.gateway.server import GRACE_S
from helamem.streams.inlet.rules import GROUP
from helamem.streams.lag import READS
from helamem.streams.log.generation import specs_of
from helamem.streams.log.kafka_configs import topic_configs
from helamem.streams.metrics.server import PATHS
from helamem.streams.sealing.master import VARIABLE

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "helamem"
KUBERNETES = "1.33"
ALL = (
    "strimzi.enabled=true",
    "autoscaling.enabled=true",
    "monitoring.podMonitor.enabled=true",
    "monitoring.rules.enabled=true",
    "monitoring.dashboards.enabled=true",
)
SASL = (
    "autoscaling.enabled=true",
    "kafka.security=SASL_SSL",
    "kafka.username.name=kafka-user",
    "kafka.username.key=name",
    "kafka.password.name=kafka-user",
    "kafka.password.key=password",
    "kafka.caCertificate.name=kafka-ca",
    "kafka.caCertificate.key=ca.pem",
    "qdrant.apiKey.name=qdrant",
    "qdrant.apiKey.key=api-key",
    "settings.batch_records=1000000",
    "settings.qdrant_quantization=scalar",
    "settings.traces=otlp",
    "env[0].name=OTEL_EXPORTER_OTLP_ENDPOINT",
    "env[0].value=http://collector:4318",
    "image.digest=sha256:" + "0" * 64,
)
GATEWAY = (
    "gateway.enabled=true",
    "gateway.keys.name=gateway-keys",
    "gateway.keys.key=all.json",
    "gateway.ingress.enabled=true",
    "gateway.ingress.host=memory.acme.example",
)
ISSUER = (
    "gateway.enabled=true",
    "gateway.autoscaling.enabled=true",
    "settings.oidc_issuer=https://login.acme.example",
    "settings.oidc_audience=helamem",
)
MERGE = ("merge.enabled=true", "merge.replicas=3")
SEALED = (
    "sealing.tenants={acme,globex}",
    "sealing.claim=keys",
    "sealing.masterKey.name=seal",
    "sealing.masterKey.key=k",
)
VARIANTS: dict[str, tuple[str, ...]] = {
    "as it comes": (),
    "with all operators": (*ALL, *GATEWAY, *MERGE),
    "with all operators, passwords": (
        *ALL,
        *GATEWAY,
        *MERGE,
        "strimzi.authentication=scram-sha-512",
        "strimzi.namespace=kafka",
    ),
    "with secrets of one's own": SASL,
    "with a gateway": (*GATEWAY, "gateway.ingress.tlsSecret=tls", "gateway.ingress.className=nginx"),
    "with an issuer": ISSUER,
    "with inlets": MERGE,
    "with little": (
        *GATEWAY[:3],
        "networkPolicy.enabled=false",
        "podDisruptionBudget.enabled=false",
        "topologySpread.enabled=false",
    ),
    "with words sealed": (*SEALED, *GATEWAY, *MERGE),
    "in a later generation": (*ALL, "kafka.generation=2", "kafka.partitions=8", "kafka.replication=1"),
}
each = pytest.mark.parametrize("variant", VARIANTS)


@cache
def rendered(*settings: str) -> list[dict[str, Any]]:
    options = [option for setting in settings for option in ("--set", setting)]
    text = checked(HELM, "template", "mem", CHART, "--namespace", "agents", "--kube-version", KUBERNETES, *options)
    return [document for document in yaml.safe_load_all(text) if document]


def of(variant: str, kind: str) -> list[dict[str, Any]]:
    return [document for document in rendered(*VARIANTS[variant]) if document["kind"] == kind]


def pods(variant: str) -> list[dict[str, Any]]:
    return [one["spec"]["template"]["spec"] for one in (*of(variant, "Deployment"), *of(variant, "Job"))]


def has_gateway(variant: str) -> bool:
    return "gateway.enabled=true" in VARIANTS[variant]


def merges(variant: str) -> bool:
    return "merge.enabled=true" in VARIANTS[variant]


def named(variant: str, kind: str, name: str) -> dict[str, Any]:
    """Return the spec of the one resource of a kind that has a name."""
    (found,) = (one for one in of(variant, kind) if one["metadata"]["name"] == name)
    return dict(found["spec"])


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def object_of(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object that has all of these and nothing else."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_WORDS = {"type": "string", "minLength": 1}
_COUNT = {"type": "integer", "minimum": 1}
_SECRET_KEYS = {"type": "array", "items": object_of(parameter=_WORDS, name=_WORDS, key=_WORDS)}
_VARIABLES = {"type": "array", "items": object_of(parameter=_WORDS, name=_WORDS, containerName=_WORDS)}
_ACL = object_of(
    resource=object_of(type={"enum": ["topic", "group"]}, name=_WORDS, patternType={"enum": ["literal", "prefix"]}),
    operations={
        "type": "array",
        "minItems": 1,
        "items": {"enum": ["Describe", "DescribeConfigs", "Read", "Write", "Delete"]},
    },
)
SPECS: dict[tuple[str, str], dict[str, Any]] = {
    ("kafka.strimzi.io/v1", "KafkaTopic"): object_of(partitions=_COUNT, replicas=_COUNT, config={"type": "object"}),
    ("kafka.strimzi.io/v1", "KafkaUser"): object_of(
        authentication=object_of(type={"enum": ["tls", "scram-sha-512"]}),
        authorization=object_of(type={"const": "simple"}, acls={"type": "array", "minItems": 1, "items": _ACL}),
    ),
    ("keda.sh/v1alpha1", "ScaledObject"): object_of(
        scaleTargetRef=object_of(name=_WORDS),
        pollingInterval=_COUNT,
        cooldownPeriod=_COUNT,
        minReplicaCount=_COUNT,
        maxReplicaCount=_COUNT,
        triggers={
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "type": {"const": "kafka"},
                    "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                    "authenticationRef": object_of(name=_WORDS),
                },
                "required": ["type", "metadata"],
                "additionalProperties": False,
            },
        },
    ),
    ("keda.sh/v1alpha1", "TriggerAuthentication"): {
        "type": "object",
        "properties": {"secretTargetRef": _SECRET_KEYS, "env": _VARIABLES},
        "minProperties": 1,
        "additionalProperties": False,
    },
    ("monitoring.coreos.com/v1", "PodMonitor"): object_of(
        selector={"type": "object"},
        podMetricsEndpoints={
            "type": "array",
            "items": object_of(
                port=_WORDS,
                path=_WORDS,
                interval={"pattern": "^[0-9]+s$"},
                relabelings={"type": "array", "items": object_of(targetLabel=_WORDS, replacement=_WORDS)},
            ),
        },
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): object_of(groups={"type": "array", "minItems": 1}),
}
"""What we write of resources that Kubernetes itself does not know, after their definitions (CRDs)."""


def test_helm_has_no_complaint() -> None:
    """Its own linter, with every warning an error."""
    assert "0 chart(s) failed" in checked(HELM, "lint", "--strict", CHART)


def test_keys_are_shared_by_all_who_seal() -> None:
    """Each process mounts the claim and knows the tenants; without a claim nothing is rendered."""
    sealing = pods("with words sealed")
    assert {pod["containers"][0]["name"] for pod in sealing} == {"worker", "gateway", "merge", "topics"}
    for pod in sealing:
        (container,) = pod["containers"]
        told = environment(container)
        assert told["HELAMEM_SEALED_TENANTS"] == "acme,globex"
        assert told["HELAMEM_MASTER_KEY"] == {"secretKeyRef": {"name": "seal", "key": "k"}}
        (mount,) = (one for one in container["volumeMounts"] if one["name"] == "keys")
        assert Path(told["HELAMEM_KEYS"]).parent == Path(mount["mountPath"])
        assert {"name": "keys", "persistentVolumeClaim": {"claimName": "keys"}} in pod["volumes"]
    with pytest.raises(AssertionError, match=r"sealing\.tenants needs sealing\.claim"):
        rendered(SEALED[0])


@each
def test_kubernetes_takes_it(variant: str) -> None:
    """Every resource is of a known kind and has no field that its kind has not."""
    documents = rendered(*VARIANTS[variant])
    assert documents
    for document in documents:
        if (spec := SPECS.get((document["apiVersion"], document["kind"]))) is not None:
            assert document.keys() == {"apiVersion", "kind", "metadata", "spec"}
            Draft202012Validator(spec).validate(document["spec"])
        else:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    assert len(names) == len(set(names))


@each
def test_pods_run_what_compose_runs(variant: str) -> None:
    """The same commands, which tests/deploy/test_entry_points.py runs for real, and `merge`, which it runs too.

    Compose's Kafka asks nobody for a name, and an inlet is for a tenant who may write that one alone.
    """
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    commands = [pod["containers"][0]["args"] for pod in pods(variant)]
    gateway = ["gateway"] if has_gateway(variant) else []
    names = ("co-activation", "consolidation", "encoding", *gateway)
    merge = [["merge"]] if merges(variant) else []
    topics = services["topics"]["command"]
    assert commands == [*(services[name]["command"] for name in names), *merge, topics]


@each
def test_variables_are_settings(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each names a setting, each value is one that the setting takes, and together they make sense."""
    for pod in pods(variant):
        (container,) = pod["containers"]
        given = environment(container)
        assert len(given) == len(container["env"])
        known = {PREFIX + setting.upper() for setting in Config.model_fields} | {VARIABLE}
        assert {name for name in given if name.startswith(PREFIX)} <= known
        with monkeypatch.context() as patch:
            for name, value in given.items():
                patch.setenv(name, value if isinstance(value, str) else "secret")
            if "settings.batch_records=1000000" in VARIANTS[variant]:
                assert given["HELAMEM_BATCH_RECORDS"] == "1000000"  # and not 1e+06
                patch.setenv("HELAMEM_BATCH_RECORDS", "1000")
            config = Config()
            config.kafka()
            config.qdrant()
            config.asked_oidc()
        assert config.store == "qdrant"


@each
def test_secrets_are_referred_to(variant: str) -> None:
    """No value of a secret stands anywhere, and what is secret comes by reference."""
    assert not of(variant, "Secret")
    for pod in pods(variant):
        for name, value in environment(pod["containers"][0]).items():
            if name.endswith(("PASSWORD", "API_KEY")):
                assert value["secretKeyRef"].keys() == {"name", "key"}


@each
def test_pods_are_held_in(variant: str) -> None:
    """As the user of the image, with nothing to write to but its volume, no rights and no token."""
    for pod in pods(variant):
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == 10001
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert f"VOLUME {container['volumeMounts'][0]['mountPath']}\n" in (ROOT / "deploy" / "Dockerfile").read_text()
        assert {mount["name"] for mount in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
        assert container["resources"].keys() == {"requests", "limits"}
        mounted = {one["mountPath"] for one in container["volumeMounts"]}
        for name, value in environment(container).items():
            if name.endswith("_FILE"):
                assert str(Path(value).parent) in mounted
                (kafka,) = (one["projected"]["sources"] for one in pod["volumes"] if one["name"] == "kafka")
                paths = [item["path"] for source in kafka for item in source["secret"]["items"]]
                assert Path(value).name in paths


@each
def test_probes_ask_what_is_answered(variant: str) -> None:
    """At the port of the environment, the paths of the server; a stop has the time that a worker takes for it."""
    for one in of(variant, "Deployment"):
        pod = one["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        serves = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert str(serves["metrics"]) == environment(container)["HELAMEM_METRICS_PORT"]
        asks = "http" if container["name"] == "gateway" else "metrics"
        assert serves.get("http", PORT) == PORT
        probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
        assert all(probe["port"] == asks and probe["path"] in PATHS for probe in probes.values())
        assert probes["readiness"]["path"] == "/ready"
        assert probes["startup"]["path"] == probes["liveness"]["path"] == "/live"
        takes_s = 5 + GRACE_S if asks == "http" else 30
        assert pod["terminationGracePeriodSeconds"] > takes_s
    let_in = [policy["spec"]["ingress"][0]["ports"] for policy in of(variant, "NetworkPolicy")]
    assert let_in in ([], [[{"protocol": "TCP", "port": port}] for port in (9464, PORT)[: 1 + has_gateway(variant)]])


@each
def test_topics_are_made_as_we_make_them(variant: str) -> None:
    """Name, partitions, replicas and configuration, of the generation and the size that the values name."""
    topics = of(variant, "KafkaTopic")
    if not any(setting.startswith("strimzi") for setting in VARIANTS[variant]):
        assert topics == []
        return
    later = "kafka.generation=2" in VARIANTS[variant]
    number, partitions, replication = (2, 8, 1) if later else (1, 4, 3)
    made = {one["metadata"]["name"]: one["spec"] for one in topics}
    assert made.keys() == {spec.name for spec in specs_of(number, partitions, TOPICS)}
    for spec in specs_of(number, partitions, TOPICS):
        topic = made[spec.name]
        assert (topic["partitions"], topic["replicas"]) == (spec.partitions, replication)
        config = {name: str(value).lower() for name, value in topic["config"].items()}
        assert config == {name: value.lower() for name, value in topic_configs(spec, replication).items()}
    for one in topics:
        assert one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    bases = {spec.base_name for spec in (*TOPICS, inlet_of("acme"))}
    for user in of(variant, "KafkaUser"):
        for acl in user["spec"]["authorization"]["acls"]:
            named = acl["resource"]["name"]
            assert (
                named in {*READS, GROUP}
                if acl["resource"]["type"] == "group"
                else any(f"{base}.".startswith(named) for base in bases)
            )


@pytest.mark.parametrize("user", ["worker", "auditor"])
def test_who_asks_for_the_lag_may_look_at_every_group(user: str) -> None:
    """Also at that of who merges, which `helamem lag` lists where there are inlets."""
    acls = named("with all operators", "KafkaUser", f"mem-helamem-{user}")["authorization"]["acls"]
    seen = {
        acl["resource"]["name"]
        for acl in acls
        if acl["resource"]["type"] == "group" and "Describe" in acl["operations"]
    }
    assert seen == {*READS, GROUP}


@pytest.mark.parametrize("replication", [1, 3])
def test_tenants_have_inlets_and_users_of_their_own(replication: int) -> None:
    """The topic is the one that is merged; its user may write that one alone, and who merges what it must."""
    tenants = ("acme", "acme-2.eu")
    named = f"strimzi.inlets={{{','.join(tenants)}}}"
    documents = rendered("strimzi.enabled=true", f"kafka.replication={replication}", named)
    made = {one["metadata"]["name"]: one for one in documents if one["kind"] == "KafkaTopic"}
    acls = {
        one["metadata"]["name"]: [
            (acl["resource"]["name"], acl["resource"]["patternType"], *acl["operations"])
            for acl in one["spec"]["authorization"]["acls"]
        ]
        for one in documents
        if one["kind"] == "KafkaUser"
    }
    for tenant in tenants:
        spec = inlet_of(tenant)
        topic = made[spec.name]
        assert topic["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        Draft202012Validator(SPECS["kafka.strimzi.io/v1", "KafkaTopic"]).validate(topic["spec"])
        assert (topic["spec"]["partitions"], topic["spec"]["replicas"]) == (spec.partitions, replication)
        config = {name: str(value).lower() for name, value in topic["spec"]["config"].items()}
        assert config == {name: value.lower() for name, value in topic_configs(spec, replication).items()}
        assert acls[f"mem-helamem-inlet-{tenant}"] == [(spec.name, "literal", "Describe", "Write")]
    rows = (ROOT / "docs" / "access.md").read_text().split("## Rights at Kafka")[1].splitlines()
    merging = {
        (name.removesuffix("*"), *row.split("|")[3].strip().split(", "))
        for row in rows
        if row.startswith("| `helamem merge`")
        for name in re.findall(r"`(.+?)`", row.split("|")[2])
    }
    assert {(name, *operations) for name, _, *operations in acls["mem-helamem-merge"]} == merging
    assert not [one for one in rendered("strimzi.enabled=true") if "inlet" in one["metadata"]["name"]]
    with pytest.raises(AssertionError, match="inlets"):
        rendered("strimzi.enabled=true", "strimzi.inlets={Acme}")


@pytest.mark.parametrize("variant", ["with all operators", "with secrets of one's own", "in a later generation"])
def test_replicas_follow_the_lag_of_what_is_read(variant: str) -> None:
    """A trigger for each topic of each group, and never more replicas than partitions."""
    partitions, number = (8, 2) if "generation" in variant else (4, 1)
    scaled = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"] for one in of(variant, "ScaledObject")
    }
    deployments = {one["metadata"]["name"]: one for one in of(variant, "Deployment")}
    assert scaled.keys() == READS.keys()
    for group, spec in scaled.items():
        deployment = deployments[spec["scaleTargetRef"]["name"]]
        assert deployment["spec"]["template"]["spec"]["containers"][0]["args"] == ["worker", group]
        assert "replicas" not in deployment["spec"]  # two would pull at it
        assert spec["minReplicaCount"] <= spec["maxReplicaCount"] <= partitions
        triggers = [trigger["metadata"] for trigger in spec["triggers"]]
        assert {trigger["consumerGroup"] for trigger in triggers} == {group}
        assert [trigger["topic"] for trigger in triggers] == [f"{one.base_name}.g{number}" for one in READS[group]]


def test_no_more_replicas_than_partitions() -> None:
    """However many are asked for."""
    documents = rendered("kafka.partitions=3", "processors.encoding.replicas=9")
    replicas = [one["spec"]["replicas"] for one in documents if one["kind"] == "Deployment"]
    assert replicas == [2, 1, 3]


def test_prometheus_gets_our_rules_and_the_job_that_they_look_for() -> None:
    """The chart's rules are those of deploy/prometheus, to the letter."""
    (rules,) = of("with all operators", "PrometheusRule")
    file = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yaml").read_text())
    assert rules["spec"] == file
    (endpoint,) = named("with all operators", "PodMonitor", "mem-helamem")["podMetricsEndpoints"]
    job = endpoint["relabelings"][0]
    assert f'job="{job["replacement"]}"' in (ROOT / "deploy" / "prometheus" / "rules.yaml").read_text()
    assert endpoint["path"] in PATHS


def test_grafana_gets_our_dashboards() -> None:
    """One ConfigMap for each, with its JSON unchanged."""
    files = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
    maps = [one["data"] for one in of("with all operators", "ConfigMap")]
    assert files
    assert {file.name: json.loads(file.read_text()) for file in files} == {
        name: json.loads(text) for data in maps for name, text in data.items()
    }


def test_the_chart_has_alerts_and_dashboards_as_they_are() -> None:
    """`make dashboards` would change nothing; also where there is no helm to render them."""
    rules = CHART / "files" / "rules.yaml"
    assert rules.read_bytes() == (ROOT / "deploy" / "prometheus" / "rules.yaml").read_bytes()
    copies, originals = (
        {file.name: json.loads(file.read_text()) for file in folder.glob("*.json")}
        for folder in (CHART / "files" / "dashboards", ROOT / "deploy" / "grafana" / "dashboards")
    )
    assert copies == originals
    assert copies
    assert not [path for path in CHART.rglob("*") if path.is_symlink()]


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("kafka.replicas=3", "replicas"),
        ("kafka.password=hunter2", "password"),
        ("settings.store=process", "store"),
        ("kafka.bootstrapServers=kafka", "bootstrapServers"),
        ("image.digest=latest", "digest"),
        ("processors.gateway.replicas=1", "gateway"),
        ("gateway.enabled=true", r"gateway\.keys, .* or settings\.oidc_issuer"),
        ("gateway.keys.value=hunter2", "value"),
        ("gateway.kafka.username.name=user", "password"),
        ("merge.kafka.username.name=user", "password"),
        ("merge.keys.name=keys", "keys"),
        ("settings.gateway_keys=/somewhere", "gateway_keys"),
        ("networkPolicy.askFrom={}", "askFrom"),
        (",".join((*GATEWAY[:4], "gateway.ingress.host=")), r"needs gateway\.ingress\.host"),
        ("settings.embedder=openai:some-model", r"volume\.sizeLimit is 64Mi, too small .*; set it to 1Gi or more"),
    ],
)
def test_values_that_make_no_sense_are_refused(setting: str, complaint: str) -> None:
    """Naming the one at fault; a secret that is written out is one of them."""
    with pytest.raises(AssertionError, match=complaint):
        checked(HELM, "template", "mem", CHART, "--set", setting)


@pytest.mark.parametrize("size", ["1Gi", "1024Mi", "1048576Ki"])
def test_a_volume_for_an_embedding_service(size: str) -> None:
    """It is as large as it was asked for."""
    documents = rendered("settings.embedder=openai:some-model", f"volume.sizeLimit={size}")
    pods = [one["spec"]["template"]["spec"] for one in documents if one["kind"] in {"Deployment", "Job"}]
    assert [pod["volumes"][0]["emptyDir"] for pod in pods] == [{"sizeLimit": size}] * 4


def test_a_gateway_has_room_for_the_past() -> None:
    """Its volume is bounded apart: it cannot see the bound, and a pod that goes past it is evicted."""
    for asked, size in ((), "4Gi"), (("gateway.volume.sizeLimit=6Gi",), "6Gi"):
        documents = rendered(*GATEWAY, *asked)
        limits = {
            one["metadata"]["name"].removeprefix("mem-helamem-"): volume["emptyDir"]["sizeLimit"]
            for one in documents
            if one["kind"] == "Deployment"
            for volume in one["spec"]["template"]["spec"]["volumes"]
            if "emptyDir" in volume
        }
        assert limits == {"encoding": "64Mi", "co-activation": "64Mi", "consolidation": "64Mi", "gateway": size}
        assert int(size.removesuffix("Gi")) * 1024**3 > 2 * ROOM_BYTES


def ports(documents: list[dict[str, Any]]) -> list[int]:
    """Return where workers may go, but for names."""
    policy, *_ = (one for one in documents if one["kind"] == "NetworkPolicy")
    names, *others = policy["spec"]["egress"]
    assert {one["port"] for one in names["ports"]} == {53}
    return [one["port"] for rule in others for one in rule["ports"]]


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        ((), [9092, 6333, 6334]),
        (("kafka.bootstrapServers=kafka:9093",), [9093, 6333, 6334]),
        (
            (r"kafka.bootstrapServers=a:9093\,[::1]:9094", "networkPolicy.kafkaPorts={9093,9095}"),
            [9093, 9094, 6333, 6334, 9095],
        ),
        (("qdrant.url=https://[::1]:443/store", "qdrant.grpcPort=444"), [9092, 443, 444]),
        (("qdrant.url=https://store.example/a:1", "networkPolicy.qdrantPorts={6335}"), [9092, 6333, 6334, 6335]),
    ],
)
def test_workers_may_go_where_the_values_send_them(settings: tuple[str, ...], allowed: list[int]) -> None:
    """The ports of Kafka's and Qdrant's addresses, whatever they are, and those that are named besides."""
    assert ports(rendered(*settings)) == allowed


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'version = "{chart["appVersion"]}"\n' in (ROOT / "pyproject.toml").read_text()


@each
def test_topics_come_before_workers_need_them(variant: str) -> None:
    """Without Strimzi in a hook before the workers; with it as part of the release, since the operator comes later."""
    (job,) = of(variant, "Job")
    hook = job["metadata"].get("annotations", {}).get("helm.sh/hook")
    assert hook == (None if of(variant, "KafkaTopic") else "pre-install,pre-upgrade")


def test_another_image_is_another_job() -> None:
    """A job cannot be changed: with Strimzi, where it is no hook, its name follows from what it runs."""

    def name(*settings: str) -> str:
        (job,) = (one for one in rendered("strimzi.enabled=true", *settings) if one["kind"] == "Job")
        return str(job["metadata"]["name"])

    assert name() == name("processors.encoding.replicas=1")
    assert len({name(), name("image.tag=0.2.0"), name("settings.batch_records=10")}) == 3


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if has_gateway(variant)])
def test_who_asks_comes_to_the_gateway(variant: str) -> None:
    """By service and ingress to the port at which it answers; what picks pods picks those of the gateway alone."""
    name = "mem-helamem-gateway"
    deployment = named(variant, "Deployment", name)
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"].items() <= labels.items()
    service = named(variant, "Service", name)
    picks = [service["selector"]]
    (port,) = service["ports"]
    assert port["targetPort"] in {one["name"] for one in deployment["template"]["spec"]["containers"][0]["ports"]}
    for ingress in of(variant, "Ingress"):
        (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
        assert path["backend"] == {"service": {"name": name, "port": {"name": port["name"]}}}
        secrets = [tls["secretName"] for tls in ingress["spec"].get("tls", ())]
        assert secrets == (["tls"] if "gateway.ingress.tlsSecret=tls" in VARIANTS[variant] else [])
    for kind, field in (
        ("PodDisruptionBudget", "selector"),
        ("PodMonitor", "selector"),
        ("NetworkPolicy", "podSelector"),
    ):
        ours = (one["spec"][field]["matchLabels"] for one in of(variant, kind) if one["metadata"]["name"] == name)
        picks.extend(ours)
    picks += [
        one["labelSelector"]["matchLabels"]
        for one in deployment["template"]["spec"].get("topologySpreadConstraints", ())
    ]
    workers = [one["spec"]["template"]["metadata"]["labels"] for one in of(variant, "Deployment")]
    for pick in picks:
        assert [one for one in workers if pick.items() <= one.items()] == [labels]
    scaled = of(variant, "HorizontalPodAutoscaler")
    assert ("replicas" in deployment) == (not scaled)
    for one in scaled:
        assert one["spec"]["scaleTargetRef"]["name"] == name
        assert "cpu" in deployment["template"]["spec"]["containers"][0]["resources"]["requests"]


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (GATEWAY, {"gateway": "2"}),
        (MERGE, {"merge": "3"}),
        ((*GATEWAY, *MERGE), {"gateway": "5", "merge": "5"}),
        ((*GATEWAY, *MERGE, "gateway.replicas=0", "merge.replicas=0"), {"gateway": "1", "merge": "1"}),
        ((*MERGE, "gateway.autoscaling.enabled=true"), {"merge": "3"}),
        ((*GATEWAY, *MERGE, "gateway.autoscaling.enabled=true"), {}),
        ((*GATEWAY, *MERGE, "settings.gateways=7"), dict.fromkeys([*READS, "gateway", "merge"], "7")),
    ],
)
def test_each_who_counts_takes_its_part(settings: tuple[str, ...], parts: dict[str, str]) -> None:
    """Gateways and who merges are counted together, where it is known how many there are."""
    told = {
        one["metadata"]["name"].removeprefix("mem-helamem-"): environment(
            one["spec"]["template"]["spec"]["containers"][0]
        ).get("HELAMEM_GATEWAYS")
        for one in rendered(*settings)
        if one["kind"] == "Deployment"
    }
    assert {name: value for name, value in told.items() if value is not None} == parts


def test_what_is_for_who_merges_picks_it() -> None:
    """Budget, spread and scraping pick its pods alone; the policy of the release holds for it, the gateway's not."""
    variant, name = "with all operators", "mem-helamem-merge"
    deployment = named(variant, "Deployment", name)
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["replicas"] == 3
    all_labels = [one["spec"]["template"]["metadata"]["labels"] for one in of(variant, "Deployment")]
    picks = [deployment["selector"]["matchLabels"]]
    picks += [named(variant, kind, name)["selector"]["matchLabels"] for kind in ("PodDisruptionBudget", "PodMonitor")]
    picks += [
        one["labelSelector"]["matchLabels"] for one in deployment["template"]["spec"]["topologySpreadConstraints"]
    ]
    assert len(picks) == 5
    for pick in picks:
        assert [one for one in all_labels if pick.items() <= one.items()] == [labels]
    of_release, of_gateway = (one["spec"]["podSelector"]["matchLabels"] for one in of(variant, "NetworkPolicy"))
    assert of_release.items() <= labels.items()
    assert not of_gateway.items() <= labels.items()
    (endpoint,) = named(variant, "PodMonitor", name)["podMetricsEndpoints"]
    assert endpoint["relabelings"][0]["replacement"] == "helamem-merge"  # no worker, and no gateway, for alerts
    assert endpoint["path"] in PATHS


@pytest.mark.parametrize(("variant", "part"), [("with a gateway", "gateway"), ("with words sealed", "merge")])
def test_keys_come_by_reference_and_cannot_be_written(variant: str, part: str) -> None:
    """The file that the variable names is that of the secret, in its own directory, so that a new key gets there."""
    pod = named(variant, "Deployment", f"mem-helamem-{part}")["template"]["spec"]
    (container,) = pod["containers"]
    (mount,) = (one for one in container["volumeMounts"] if one["name"] == "gateway")
    assert mount["readOnly"]
    assert "subPath" not in mount
    (volume,) = (one["secret"] for one in pod["volumes"] if one["name"] == "gateway")
    assert volume["secretName"] == "gateway-keys"
    (item,) = volume["items"]
    assert item["key"] == "all.json"
    assert environment(container)["HELAMEM_GATEWAY_KEYS"] == f"{mount['mountPath']}/{item['path']}"
    for other in pods(variant):
        if other["containers"][0]["name"] not in {"gateway", "merge"}:
            assert "HELAMEM_GATEWAY_KEYS" not in environment(other["containers"][0])
            assert "gateway" not in {one["name"] for one in other["volumes"]}


@pytest.mark.parametrize(("variant", "part"), [("with an issuer", "gateway"), ("with inlets", "merge")])
def test_no_keys_are_looked_for_where_none_are_named(variant: str, part: str) -> None:
    """Tokens count then, and who merges knows no bounds."""
    (container,) = named(variant, "Deployment", f"mem-helamem-{part}")["template"]["spec"]["containers"]
    assert "HELAMEM_GATEWAY_KEYS" not in environment(container)


@pytest.mark.parametrize("part", ["gateway", "merge"])
def test_it_is_a_user_of_its_own_at_kafka(part: str) -> None:
    """With Strimzi its own certificate or password; without, what the values name, or what the workers have."""
    name = f"mem-helamem-{part}"
    pod = named("with all operators", "Deployment", name)["template"]["spec"]
    (sources,) = (one["projected"]["sources"] for one in pod["volumes"] if one["name"] == "kafka")
    assert {one["secret"]["name"] for one in sources} == {"kafka-cluster-ca-cert", name}
    (container,) = named("with all operators, passwords", "Deployment", name)["template"]["spec"]["containers"]
    assert environment(container)["HELAMEM_KAFKA_USERNAME"] == name
    assert named("with all operators", "KafkaUser", name)
    own = tuple(
        f"{part}.kafka.{setting}"
        for setting in ("username.name=own", "username.key=u", "password.name=own", "password.key=p")
    )
    for more, secret in (((), "kafka-user"), (own, "own")):
        told = {
            one["metadata"]["name"]: environment(one["spec"]["template"]["spec"]["containers"][0])
            for one in rendered(*SASL, *GATEWAY, *MERGE, *more)
            if one["kind"] == "Deployment"
        }
        for variable in ("HELAMEM_KAFKA_USERNAME", "HELAMEM_KAFKA_PASSWORD"):
            named_secrets = {which: one[variable]["secretKeyRef"]["name"] for which, one in told.items()}
            assert len(named_secrets) == 5
            assert named_secrets == {which: secret if which == name else "kafka-user" for which in told}


@pytest.mark.parametrize(
    ("more", "allowed"),
    [
        ((), [443]),
        (("settings.oidc_jwks_url=https://keys.acme.example:8443/jwks",), [443, 8443]),
    ],
)
def test_the_gateway_may_go_to_the_issuer(more: tuple[str, ...], allowed: list[int]) -> None:
    """And no worker may; without an issuer it goes nowhere else than they."""
    _, policy = (one["spec"] for one in rendered(*ISSUER, *more) if one["kind"] == "NetworkPolicy")
    assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
    assert [one["port"] for rule in policy["egress"] for one in rule["ports"]] == allowed
    assert "Egress" not in named("with a gateway", "NetworkPolicy", "mem-helamem-gateway")["policyTypes"]


def test_prometheus_knows_gateways_by_the_job_of_compose() -> None:
    """A dashboard chooses jobs by their name, and it is one name wherever the gateway runs."""
    (endpoint,) = named("with all operators", "PodMonitor", "mem-helamem-gateway")["podMetricsEndpoints"]
    configured = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert endpoint["relabelings"][0]["replacement"] in {job["job_name"] for job in configured}

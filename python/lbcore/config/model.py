"""What the documents may hold, as msgspec structs: names, types, ranges, defaults.

The fast check is ``msgspec.convert``; ``validate.faults`` walks the same structs slowly to find everything
that is wrong. Field names are those of the documents.  What the Gateway API has and lbcore does not do yet
stands here as ``Any``: it is known, and refused by name elsewhere.  Limits: the CRDs of gateway-api v1.6
(rules 16, matches 64, listeners 64, ...).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
NAMES = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
TOKEN = r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+\Z"
GATEWAY_GROUP = "gateway.networking.k8s.io"

Name = Annotated[str, Meta(min_length=1, max_length=253, pattern=rf"^{NAMES}(?:\.{NAMES})*\Z",
                           description="a name: lower-case letters, digits, - and .")]  # fmt: skip
Namespace = Annotated[str, Meta(min_length=1, max_length=63, pattern=rf"^{LABEL}\Z",
                                description="a namespace: lower-case letters, digits and -")]  # fmt: skip
Group = Annotated[
    str, Meta(max_length=253, pattern=rf"^(?:{NAMES}(?:\.{NAMES})*)?\Z", description="an API group")
]
Kind = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[a-zA-Z](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?\Z",
                           description="a kind")]  # fmt: skip
Hostname = Annotated[str, Meta(min_length=1, max_length=253, pattern=rf"^(?:\*\.)?{LABEL}(?:\.{LABEL})*\Z",
                               description="a host name such as x.example.com or *.example.com (no port)")]  # fmt: skip
PreciseHostname = Annotated[str, Meta(min_length=1, max_length=253, pattern=rf"^{LABEL}(?:\.{LABEL})*\Z",
                                      description="a host name without wildcard and port")]  # fmt: skip
HeaderName = Annotated[str, Meta(min_length=1, max_length=256, pattern=TOKEN,
                                 description="a name of letters, digits and !#$%&'*+-.^_`|~")]  # fmt: skip
# No control characters; no space at the ends, which no received value has.
HeaderValue = Annotated[str, Meta(min_length=1, max_length=4096, pattern=r"^(?! )[^\x00-\x1f\x7f]*(?<! )\Z",
                                  description="a value without control characters, no space at its ends")]  # fmt: skip
QueryValue = Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*\Z",
                                 description="a value without control characters")]  # fmt: skip
PathValue = Annotated[str, Meta(max_length=1024)]
Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
Port = Annotated[int, Meta(ge=1, le=65535)]
Weight = Annotated[int, Meta(ge=0, le=1_000_000)]
Time = Annotated[datetime, Meta(tz=True)]
Text = Annotated[str, Meta(max_length=65535)]


class Lenient(Struct, gc=False):
    """Fields that are not named here are nobody's business."""


class Strict(Struct, gc=False, forbid_unknown_fields=True):
    """Fields that are not named here are problems."""


class Metadata(Lenient):
    name: Name
    namespace: Namespace = "default"
    creationTimestamp: Time | None = None
    generation: int | None = None
    labels: dict[str, str] = {}


class Object(Strict):
    apiVersion: str
    kind: str
    metadata: Metadata


# ---- Gateway API: GatewayClass, Gateway -------------------------------------------------------------------------


class GatewayClassSpec(Strict):
    controllerName: Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[^/]+/.+\Z",
                                        description="a controller: DOMAIN/PATH")]  # fmt: skip
    description: str | None = None
    parametersRef: Any = None


class GatewayClass(Object):
    spec: GatewayClassSpec
    status: Any = None


class Expression(Strict):
    key: Annotated[str, Meta(min_length=1)]
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()


class Selector(Strict):
    matchLabels: dict[str, str] = {}
    matchExpressions: tuple[Expression, ...] = ()


class RouteNamespaces(Strict):
    # The field is "from", a word of Python's.
    origin: Literal["Same", "All", "Selector", "None"] = field(default="Same", name="from")
    selector: Selector | None = None


class RouteKind(Strict):
    kind: Kind
    group: Group = GATEWAY_GROUP


class AllowedRoutes(Strict):
    namespaces: RouteNamespaces = field(default_factory=RouteNamespaces)
    kinds: Annotated[tuple[RouteKind, ...], Meta(max_length=8)] = ()


class Listener(Strict):
    name: Name
    port: Port
    protocol: Annotated[
        str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9./-]+\Z", description="a protocol")
    ]
    hostname: Hostname | None = None
    tls: Any = None
    allowedRoutes: AllowedRoutes = field(default_factory=AllowedRoutes)


class GatewaySpec(Strict):
    gatewayClassName: Name
    listeners: Annotated[tuple[Listener, ...], Meta(min_length=1, max_length=64)]
    addresses: tuple[Any, ...] = ()
    infrastructure: Any = None
    allowedListeners: Any = None
    tls: Any = None
    defaultScope: Any = None


class Gateway(Object):
    spec: GatewaySpec
    status: Any = None


# ---- Gateway API: routes ----------------------------------------------------------------------------------------


class ParentRef(Strict):
    name: Name
    group: Group = GATEWAY_GROUP
    kind: Kind = "Gateway"
    namespace: Namespace | None = None
    sectionName: Name | None = None
    port: Port | None = None


class BackendRef(Strict):
    name: Name
    group: Group = ""
    kind: Kind = "Service"
    namespace: Namespace | None = None
    port: Port | None = None
    weight: Weight = 1


class PathMatch(Strict):
    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    value: PathValue = "/"


class HeaderMatch(Strict):
    name: HeaderName
    value: HeaderValue
    type: Literal["Exact", "RegularExpression"] = "Exact"


class QueryMatch(Strict):
    name: HeaderName
    value: QueryValue
    type: Literal["Exact", "RegularExpression"] = "Exact"


class HttpMatch(Strict):
    path: PathMatch = field(default_factory=PathMatch)
    headers: Annotated[tuple[HeaderMatch, ...], Meta(max_length=16)] = ()
    queryParams: Annotated[tuple[QueryMatch, ...], Meta(max_length=16)] = ()
    method: Method | None = None


class Header(Strict):
    name: HeaderName
    value: HeaderValue


class HeaderModifier(Strict):
    set: Annotated[tuple[Header, ...], Meta(max_length=16)] = ()
    add: Annotated[tuple[Header, ...], Meta(max_length=16)] = ()
    remove: Annotated[tuple[str, ...], Meta(max_length=16)] = ()


class Rewrite(Strict):
    hostname: PreciseHostname | None = None
    path: Any = None


class Filter(Strict):
    type: Literal["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "RequestRedirect", "URLRewrite",
                  "CORS", "ExternalAuth", "ExtensionRef"]  # fmt: skip
    requestHeaderModifier: HeaderModifier | None = None
    responseHeaderModifier: HeaderModifier | None = None
    requestMirror: Any = None
    requestRedirect: Any = None
    urlRewrite: Rewrite | None = None
    cors: Any = None
    externalAuth: Any = None
    extensionRef: Any = None


Filters = Annotated[tuple[Filter, ...], Meta(max_length=16)]


class HttpBackendRef(BackendRef):
    filters: Filters = ()


class HttpRule(Strict):
    name: Name | None = None
    matches: Annotated[tuple[HttpMatch, ...], Meta(max_length=64)] = ()
    backendRefs: Annotated[tuple[HttpBackendRef, ...], Meta(max_length=16)] = ()
    filters: Filters = ()
    timeouts: Any = None
    retry: Any = None
    sessionPersistence: Any = None


class RouteSpec(Strict):
    parentRefs: Annotated[tuple[ParentRef, ...], Meta(max_length=32)] = ()
    useDefaultGateways: Any = None


class HttpRouteSpec(RouteSpec):
    hostnames: Annotated[tuple[Hostname, ...], Meta(max_length=16)] = ()
    rules: Annotated[tuple[HttpRule, ...], Meta(min_length=1, max_length=16)] = (HttpRule(),)


class HTTPRoute(Object):
    spec: HttpRouteSpec
    status: Any = None


class StreamRule(Strict):
    backendRefs: Annotated[tuple[BackendRef, ...], Meta(min_length=1, max_length=16)]
    name: Name | None = None


class StreamRouteSpec(RouteSpec, kw_only=True):
    rules: Annotated[tuple[StreamRule, ...], Meta(min_length=1, max_length=1)]


class TCPRoute(Object):
    spec: StreamRouteSpec
    status: Any = None


class UDPRoute(Object):
    spec: StreamRouteSpec
    status: Any = None


class GrantFrom(Strict):
    group: Group
    kind: Kind
    namespace: Namespace


class GrantTo(Strict):
    group: Group
    kind: Kind
    name: Name | None = None


class GrantSpec(Strict):
    origin: Annotated[tuple[GrantFrom, ...], Meta(min_length=1, max_length=16)] = field(name="from")
    to: Annotated[tuple[GrantTo, ...], Meta(min_length=1, max_length=16)]


class ReferenceGrant(Object):
    spec: GrantSpec
    status: Any = None


# ---- Kubernetes: Service, EndpointSlice, Namespace --------------------------------------------------------------


class NamespaceObject(Object):
    spec: Any = None
    status: Any = None


class ServicePort(Strict):
    port: Port
    name: str = ""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    targetPort: int | str | None = None
    nodePort: Any = None
    appProtocol: str | None = None


class ServiceSpec(Strict):
    ports: tuple[ServicePort, ...] = ()
    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = "ClusterIP"
    # What concerns the cluster and not us.
    allocateLoadBalancerNodePorts: Any = None
    clusterIP: Any = None
    clusterIPs: Any = None
    externalIPs: Any = None
    externalName: Any = None
    externalTrafficPolicy: Any = None
    healthCheckNodePort: Any = None
    internalTrafficPolicy: Any = None
    ipFamilies: Any = None
    ipFamilyPolicy: Any = None
    loadBalancerClass: Any = None
    loadBalancerIP: Any = None
    loadBalancerSourceRanges: Any = None
    publishNotReadyAddresses: Any = None  # its EndpointSlices say ready then
    selector: Any = None
    sessionAffinity: Any = None  # of kube-proxy; a gateway goes to the endpoints itself
    sessionAffinityConfig: Any = None
    trafficDistribution: Any = None


class Service(Object):
    spec: ServiceSpec
    status: Any = None


class EndpointConditions(Strict):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(Strict):
    addresses: Annotated[tuple[str, ...], Meta(min_length=1, max_length=100)]
    conditions: EndpointConditions = field(default_factory=EndpointConditions)
    hostname: Any = None
    targetRef: Any = None
    nodeName: Any = None
    zone: Any = None
    hints: Any = None
    deprecatedTopology: Any = None


class EndpointPort(Strict):
    port: Port | None = None
    name: str | None = None
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    appProtocol: Any = None


class EndpointSlice(Object):
    addressType: Literal["IPv4", "IPv6", "FQDN"]
    endpoints: Annotated[tuple[Endpoint, ...], Meta(max_length=1000)] = ()
    ports: Annotated[tuple[EndpointPort, ...], Meta(max_length=20000)] = ()


# ---- the short form ---------------------------------------------------------------------------------------------

Word = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z",
                           description="a name of letters, digits, - . and _")]  # fmt: skip
Address = Annotated[
    str, Meta(min_length=1, max_length=300, description="an address: host:port or [ipv6]:port")
]
Label = Annotated[str, Meta(max_length=253, pattern=r"^[^\x00-\x1f\x7f]*\Z", description="a label")]
AnyMethod = Annotated[str, Meta(min_length=1, max_length=255, pattern=TOKEN, description="a method")]


class ShortListener(Strict):
    protocol: Literal["http", "tcp", "udp"]
    port: Port
    hostname: Hostname | None = None


class ShortTarget(Strict):
    address: Address
    id: Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[^\x00-\x1f\x7f]+\Z",
                            description="an id")] | None = None  # fmt: skip
    weight: Weight = 1
    labels: dict[Label, Label] = {}
    hash_key: Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[^\x00-\x1f\x7f]+\Z",
                                  description="a text to hash")] | None = None  # fmt: skip
    priority: Annotated[int, Meta(ge=0, le=127)] = 0


# What is absent has the default of lbcore.options and lbcore.healthrules; the ranges are theirs.


class ShortLimits(Strict):
    in_flight: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    bound: Annotated[float, Meta(ge=1, le=100)] | None = None
    margin: Weight | None = None
    error_hold: Annotated[float, Meta(ge=0, le=3600)] | None = None
    retry_percent: Annotated[int, Meta(ge=0, le=1000)] | None = None
    retry_per_second: Weight | None = None


class ShortLevels(Strict):
    overprovisioning: Annotated[int, Meta(ge=100, le=1_000_000)] | None = None
    panic: Annotated[int, Meta(ge=0, le=100)] | None = None
    spill: bool | None = None
    locality: Annotated[str, Meta(min_length=1, max_length=253, description="the name of a label")] | None = (
        None
    )
    weights: dict[Label, Weight] | None = None
    default_weight: Weight | None = None


class ShortSlowStart(Strict):
    window: Annotated[float, Meta(ge=0.001, le=86400)]
    aggression: Annotated[float, Meta(ge=0.01, le=100)] | None = None
    min_percent: Annotated[float, Meta(ge=0, le=100)] | None = None


Streak = Annotated[int, Meta(ge=0, le=2**20 - 1)]
Hosts = Annotated[int, Meta(ge=0, le=2**20)]
Percent = Annotated[int, Meta(ge=0, le=100)]
Count = Annotated[int, Meta(ge=0, le=255)]
Interval = Annotated[float, Meta(ge=0, le=65535)]
Long = Annotated[float, Meta(ge=0.001, le=86400)]
Statuses = Annotated[tuple[Annotated[int, Meta(ge=100, le=599)], ...], Meta(max_length=500)]


class ShortOutlier(Strict):
    consecutive_5xx: Streak | None = None
    consecutive_gateway_failure: Streak | None = None
    consecutive_local_origin_failure: Streak | None = None
    split_external_local_origin_errors: bool | None = None
    interval: Long | None = None
    base_ejection_time: Long | None = None
    max_ejection_time: Long | None = None
    max_ejection_time_jitter: Annotated[float, Meta(ge=0, le=86400)] | None = None
    max_ejection_percent: Percent | None = None
    always_eject_one_host: bool | None = None
    enforcing_consecutive_5xx: Percent | None = None
    enforcing_consecutive_gateway_failure: Percent | None = None
    enforcing_consecutive_local_origin_failure: Percent | None = None
    enforcing_success_rate: Percent | None = None
    enforcing_failure_percentage: Percent | None = None
    success_rate_minimum_hosts: Hosts | None = None
    success_rate_request_volume: Streak | None = None
    success_rate_stdev_factor: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    failure_percentage_threshold: Percent | None = None
    failure_percentage_minimum_hosts: Hosts | None = None
    failure_percentage_request_volume: Streak | None = None
    half_open: Streak | None = None
    half_open_successes: Annotated[int, Meta(ge=1, le=2**20 - 1)] | None = None


class ShortCounts(Strict):
    healthy_http_statuses: Statuses | None = None
    healthy_successes: Count | None = None
    unhealthy_http_statuses: Statuses | None = None
    unhealthy_http_failures: Count | None = None
    unhealthy_tcp_failures: Count | None = None
    unhealthy_timeouts: Count | None = None


class ShortPassive(ShortCounts):
    pass


class ShortActive(ShortCounts):
    type: Literal["http", "https", "tcp", "grpc", "grpcs"] | None = None
    timeout: Interval | None = None
    concurrency: Annotated[int, Meta(ge=1, le=2**31)] | None = None
    jitter: Annotated[float, Meta(ge=0, le=1)] | None = None
    http_path: Annotated[str, Meta(max_length=4096, pattern=r"^/[!-~]*\Z",
                                   description="a path: / and visible ASCII characters")] | None = None  # fmt: skip
    http_method: AnyMethod | None = None
    headers: dict[HeaderName, HeaderValue] | None = None
    body_match: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    https_sni: PreciseHostname | None = None
    https_verify_certificate: bool | None = None
    grpc_service: Annotated[str, Meta(max_length=1024)] | None = None
    port: Port | None = None
    healthy_interval: Interval | None = None
    unhealthy_interval: Interval | None = None


class ShortHealth(Strict):
    outlier: Literal["none"] | ShortOutlier | None = None
    passive: ShortPassive | None = None
    active: ShortActive | None = None
    threshold: Annotated[float, Meta(ge=0, le=100)] | None = None
    max_hold: Annotated[float, Meta(ge=0, le=86400)] | None = None


class ShortUpstream(Strict):
    targets: tuple[Address | ShortTarget, ...] = ()
    policy: str | dict[str, Any] = "round_robin"
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    limits: ShortLimits | None = None
    levels: ShortLevels | None = None
    slow_start: ShortSlowStart | None = None
    health: Literal["passive", "none"] | ShortHealth | None = None
    when_empty: Literal["fail", "panic", "least_bad"] = "fail"


class ShortBackend(Strict):
    upstream: str
    weight: Weight = 1


class ShortRoute(Strict):
    name: Word
    listeners: tuple[str, ...] = ()
    hosts: tuple[Hostname, ...] = ()
    path: str | None = None
    path_type: Literal["exact", "prefix"] | None = None
    methods: tuple[AnyMethod, ...] = ()
    headers: dict[HeaderName, HeaderValue] = {}
    query: dict[Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+\Z",
                                    description="a parameter's name")], QueryValue] = {}  # fmt: skip
    backends: tuple[str | ShortBackend, ...] = ()
    key: str | Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)] | None = None
    split: Literal["key"] | None = None


class Short(Strict):
    lbcore: Literal[1]
    listeners: dict[Word, ShortListener] = {}
    upstreams: dict[Word, ShortUpstream] = {}
    routes: tuple[ShortRoute, ...] = ()

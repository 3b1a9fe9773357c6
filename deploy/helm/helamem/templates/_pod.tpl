{{- /* The environment of every process; .part says which one it is. */ -}}
{{- define "helamem.env" -}}
{{- $kafka := include "helamem.kafka" . | fromYaml -}}
- {name: HELAMEM_KAFKA_SERVERS, value: {{ .Values.kafka.bootstrapServers | quote }}}
- {name: HELAMEM_KAFKA_SECURITY, value: {{ $kafka.security }}}
- {name: HELAMEM_KAFKA_REPLICATION, value: {{ .Values.kafka.replication | quote }}}
{{- if hasPrefix "SASL" $kafka.security }}
- {name: HELAMEM_KAFKA_SASL_MECHANISM, value: {{ $kafka.mechanism }}}
{{- end }}
{{- with $kafka.username }}
- {name: HELAMEM_KAFKA_USERNAME, value: {{ . | quote }}}
{{- end }}
{{- with $kafka.usernameFrom }}
- name: HELAMEM_KAFKA_USERNAME
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}
{{- with $kafka.passwordFrom }}
- name: HELAMEM_KAFKA_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}
{{- if $kafka.ca }}
- {name: HELAMEM_KAFKA_CA_FILE, value: /etc/helamem/kafka/ca.crt}
{{- end }}
{{- if $kafka.certificate }}
- {name: HELAMEM_KAFKA_CERT_FILE, value: /etc/helamem/kafka/user.crt}
- {name: HELAMEM_KAFKA_KEY_FILE, value: /etc/helamem/kafka/user.key}
{{- end }}
- {name: HELAMEM_STORE, value: qdrant}
- {name: HELAMEM_QDRANT_URL, value: {{ .Values.qdrant.url | quote }}}
- {name: HELAMEM_QDRANT_GRPC_PORT, value: {{ .Values.qdrant.grpcPort | quote }}}
{{- with .Values.qdrant.apiKey }}
- name: HELAMEM_QDRANT_API_KEY
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}
{{- if .Values.sealing.tenants }}
- {name: HELAMEM_SEALED_TENANTS, value: {{ join "," .Values.sealing.tenants | quote }}}
- {name: HELAMEM_KEYS, value: /var/lib/helamem-keys/keys}
{{- with .Values.sealing.masterKey }}
- name: HELAMEM_MASTER_KEY
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}
{{- end }}
{{- if include "helamem.hasKeys" . }}
- {name: HELAMEM_GATEWAY_KEYS, value: /etc/helamem/gateway/keys.json}
{{- end }}
{{- $scaled := and .Values.gateway.enabled .Values.gateway.autoscaling.enabled }}
{{- if and (include "helamem.bounded" .) (not $scaled) (not (hasKey .Values.settings "gateways")) }}
{{- $gateways := ternary (int .Values.gateway.replicas) 0 .Values.gateway.enabled }}
{{- $merging := ternary (int .Values.merge.replicas) 0 .Values.merge.enabled }}
- {name: HELAMEM_GATEWAYS, value: {{ max 1 (add $gateways $merging) | quote }}}
{{- end }}
- {name: HELAMEM_METRICS_HOST, value: 0.0.0.0}
- {name: HELAMEM_METRICS_PORT, value: "9464"}
{{- range $name, $value := .Values.settings }}
- {name: HELAMEM_{{ $name | upper }}, value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "helamem.container" -}}
image: {{ include "helamem.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  {{- include "helamem.env" . | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: work, mountPath: /var/lib/helamem}
  {{- if .Values.sealing.tenants }}
  - {name: keys, mountPath: /var/lib/helamem-keys}
  {{- end }}
  {{- $kafka := include "helamem.kafka" . | fromYaml }}
  {{- if or $kafka.ca $kafka.certificate }}
  - {name: kafka, mountPath: /etc/helamem/kafka, readOnly: true}
  {{- end }}
  {{- if include "helamem.hasKeys" . }}
  # The whole directory: a key that is added or revoked later would not come to a file that is mounted alone.
  - {name: gateway, mountPath: /etc/helamem/gateway, readOnly: true}
  {{- end }}
{{- end }}

{{- /* Whether it takes from tenants, and so counts what they append: the gateway, and who merges inlets. */ -}}
{{- define "helamem.bounded" -}}
{{- if has (.part | default "") (list "gateway" "merge") }}yes{{ end -}}
{{- end }}

{{- /* Whether it gets the file of keys, where tenants' bounds stand too; there is none where tokens alone count. */ -}}
{{- define "helamem.hasKeys" -}}
{{- if and (include "helamem.bounded" .) .Values.gateway.keys }}yes{{ end -}}
{{- end }}

{{- define "helamem.podMetadata" -}}
labels:
  {{- include "helamem.labels" . | nindent 2 }}
  app.kubernetes.io/component: {{ .part }}
  {{- with .Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "helamem.spread" -}}
{{- if .Values.topologySpread.enabled -}}
topologySpreadConstraints:
  {{- range list .Values.topologySpread.key "kubernetes.io/hostname" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "helamem.selector" $ | nindent 8 }}
        app.kubernetes.io/component: {{ $.part }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* Of the volume: a worker's holds all that an embedding service answered, a gateway's past states while they are asked. */ -}}
{{- define "helamem.sizeLimit" -}}
{{- $limit := ternary .Values.gateway.volume .Values.volume (eq (.part | default "") "gateway") | dig "sizeLimit" "" -}}
{{- $kib := mul (regexFind "^[0-9]+" $limit | atoi) (get (dict "Ki" 1 "Mi" 1024 "Gi" 1048576) (regexFind "[KMG]i$" $limit)) -}}
{{- if and (hasPrefix "openai:" (toString .Values.settings.embedder)) (lt $kib 1048576) -}}
{{- fail (printf "volume.sizeLimit is %s, too small beside settings.embedder %s: a worker keeps there what the service answered, 4 bytes for each number of each vector, and is evicted when it is full; set it to 1Gi or more (10Gi hold 1,500,000 texts of 1,536 numbers)" $limit .Values.settings.embedder) -}}
{{- end -}}
{{- $limit -}}
{{- end }}

{{- /* What is of the pod and not of its container. */ -}}
{{- define "helamem.pod" -}}
{{- $kafka := include "helamem.kafka" . | fromYaml -}}
automountServiceAccountToken: false
enableServiceLinks: false # they would be HELAMEM_ variables that are no settings
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  {{- if .Values.sealing.tenants }}
  fsGroupChangePolicy: OnRootMismatch # what lies beside the keys is its owner's alone, and stays so
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: work
    emptyDir: {sizeLimit: {{ include "helamem.sizeLimit" . }}}
  {{- if .Values.sealing.tenants }}
  - name: keys
    persistentVolumeClaim: {claimName: {{ required "sealing.tenants needs sealing.claim, a volume for the keys that all pods share" .Values.sealing.claim }}}
  {{- end }}
  {{- if or $kafka.ca $kafka.certificate }}
  - name: kafka
    projected:
      defaultMode: 0440
      sources:
        {{- with $kafka.ca }}
        - secret: {name: {{ .name }}, items: [{key: {{ .key }}, path: ca.crt}]}
        {{- end }}
        {{- with $kafka.certificate }}
        - secret: {name: {{ .name }}, items: [{key: {{ .key }}, path: user.crt}]}
        {{- end }}
        {{- with $kafka.key }}
        - secret: {name: {{ .name }}, items: [{key: {{ .key }}, path: user.key}]}
        {{- end }}
  {{- end }}
  {{- if include "helamem.hasKeys" . }}
  - name: gateway
    secret: {secretName: {{ .Values.gateway.keys.name }}, defaultMode: 0440, items: [{key: {{ .Values.gateway.keys.key }}, path: keys.json}]}
  {{- end }}
{{- end }}

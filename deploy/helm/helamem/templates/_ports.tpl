{{- /* Where workers go: the ports of the addresses that the values name, and what else brokers and Qdrant listen at. */ -}}
{{- define "helamem.ports" -}}
{{- $ports := list -}}
{{- range splitList "," .Values.kafka.bootstrapServers -}}
{{- $ports = append $ports (splitList ":" . | last | atoi) -}}
{{- end -}}
{{- $ports = append $ports (include "helamem.port" (list .Values.qdrant.url "6333") | atoi) -}}
{{- range concat (list .Values.qdrant.grpcPort) .Values.networkPolicy.kafkaPorts .Values.networkPolicy.qdrantPorts -}}
{{- $ports = append $ports (int .) -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end }}

{{- /* Where the gateway asks whose tokens count, if there is an issuer. */ -}}
{{- define "helamem.issuerPorts" -}}
{{- $ports := list -}}
{{- range $address := list .Values.settings.oidc_issuer .Values.settings.oidc_jwks_url | compact -}}
{{- $ports = append $ports (include "helamem.port" (list $address (ternary "80" "443" (hasPrefix "http:" $address))) | atoi) -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end }}

{{- /* The port of an address; the second of the list is that of one that names none. */ -}}
{{- define "helamem.port" -}}
{{- regexReplaceAll `^https?://(\[[^]]*]|[^:/]*)` (first .) "" | regexFind "^:[0-9]+" | trimPrefix ":" | default (last .) -}}
{{- end }}

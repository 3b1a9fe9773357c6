{{- /* Where workers go: the ports of the addresses that the values name, and what else brokers and Qdrant listen at. */ -}}
{{- define "helamem.ports" -}}
{{- $ports := list -}}
{{- range splitList "," .Values.kafka.bootstrapServers -}}
{{- $ports = append $ports (splitList ":" . | last | atoi) -}}
{{- end -}}
{{- $qdrant := regexReplaceAll `^https?://(\[[^]]*]|[^:/]*)` .Values.qdrant.url "" | regexFind "^:[0-9]+" | trimPrefix ":" -}}
{{- $ports = append $ports (default "6333" $qdrant | atoi) -}}
{{- range concat (list .Values.qdrant.grpcPort) .Values.networkPolicy.kafkaPorts .Values.networkPolicy.qdrantPorts -}}
{{- $ports = append $ports (int .) -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end }}

{{- /* How to reach Kafka: what the values say, or what follows from the user that Strimzi makes for the workers or, where
.part says so, for the gateway or for who merges. */ -}}
{{- define "helamem.kafka" -}}
{{- $who := "worker" -}}
{{- $own := dict -}}
{{- if include "helamem.bounded" . -}}
{{- $who = .part -}}
{{- $own = (index .Values .part).kafka -}}
{{- end -}}
{{- $user := printf "%s-%s" (include "helamem.fullname" .) $who -}}
{{- $kafka := .Values.kafka -}}
{{- $ca := $kafka.caCertificate -}}
{{- if and .Values.strimzi.enabled (not $ca) -}}
{{- $ca = dict "name" (printf "%s-cluster-ca-cert" .Values.strimzi.cluster) "key" "ca.crt" -}}
{{- end -}}
{{- if not .Values.strimzi.enabled -}}
{{- dict "security" $kafka.security "mechanism" $kafka.saslMechanism "ca" $ca "certificate" (default $kafka.clientCertificate $own.clientCertificate) "key" (default $kafka.clientKey $own.clientKey) "usernameFrom" (default $kafka.username $own.username) "passwordFrom" (default $kafka.password $own.password) | toYaml -}}
{{- else if eq .Values.strimzi.authentication "tls" -}}
{{- dict "security" "SSL" "mechanism" "" "ca" $ca "certificate" (dict "name" $user "key" "user.crt") "key" (dict "name" $user "key" "user.key") | toYaml -}}
{{- else -}}
{{- dict "security" "SASL_SSL" "mechanism" "SCRAM-SHA-512" "ca" $ca "username" $user "passwordFrom" (dict "name" $user "key" "password") | toYaml -}}
{{- end -}}
{{- end }}

{{- define "helamem.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end }}

{{- define "helamem.selector" -}}
app.kubernetes.io/name: helamem
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "helamem.labels" -}}
{{ include "helamem.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "helamem.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "helamem.strimziNamespace" -}}
{{ .Values.strimzi.namespace | default .Release.Namespace }}
{{- end }}

{{/* The beginning of every name: the release's name, with leftfold in it. */}}
{{- define "leftfold.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains "leftfold" .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-leftfold" .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* The name of the Deployment and of what belongs to it alone. */}}
{{- define "leftfold.operator" -}}
{{ include "leftfold.fullname" . }}-operator
{{- end -}}

{{- define "leftfold.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "leftfold.operator" .) }}
{{- end -}}

{{/* What selects operator pods; never changes in the life of a release. */}}
{{- define "leftfold.selector" -}}
app.kubernetes.io/name: leftfold
app.kubernetes.io/component: operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "leftfold.labels" -}}
{{- $own := dict "app.kubernetes.io/name" "leftfold" "app.kubernetes.io/component" "operator" "app.kubernetes.io/instance" .Release.Name "app.kubernetes.io/managed-by" .Release.Service "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_") "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{ toYaml (merge $own .Values.labels) }}
{{- end -}}

{{/* metadata of an object: name, labels, annotations. Takes (list context name). */}}
{{- define "leftfold.metadata" -}}
{{- $context := index . 0 -}}
name: {{ index . 1 }}
labels:
  {{- include "leftfold.labels" $context | nindent 2 }}
{{- with $context.Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* repository:tag or repository@digest. Takes (list context image). */}}
{{- define "leftfold.image" -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (index . 0).Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The namespaces that hold Runtimes, as far as the chart knows; JSON. */}}
{{- define "leftfold.runtimeNamespaces" -}}
{{ concat .Values.watchNamespaces .Values.networkPolicy.runtimeNamespaces | uniq | toJson }}
{{- end -}}

{{/* A binding of the operator's account. Takes (list context name kind role namespace); namespace empty for all. */}}
{{- define "leftfold.binding" -}}
{{- $context := index . 0 -}}
{{- $namespace := index . 4 -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "RoleBinding" "ClusterRoleBinding" (ne $namespace "") }}
metadata:
  {{- include "leftfold.metadata" (list $context (index . 1)) | nindent 2 }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ index . 2 }}
  name: {{ index . 3 }}
subjects:
- kind: ServiceAccount
  name: {{ include "leftfold.serviceAccount" $context }}
  namespace: {{ $context.Release.Namespace }}
{{- end -}}

{{/* A role with rules of a file. Takes (list context name namespace file); namespace empty for a ClusterRole. */}}
{{- define "leftfold.role" -}}
{{- $context := index . 0 -}}
{{- $namespace := index . 2 -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "Role" "ClusterRole" (ne $namespace "") }}
metadata:
  {{- include "leftfold.metadata" (list $context (index . 1)) | nindent 2 }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
rules:
{{ $context.Files.Get (printf "files/rules/%s.yaml" (index . 3)) | trim }}
{{- end -}}

{{- define "leftfold.labels" -}}
{{- $own := dict "app.kubernetes.io/name" "leftfold" "app.kubernetes.io/component" "definitions" "app.kubernetes.io/instance" .Release.Name "app.kubernetes.io/managed-by" .Release.Service "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_") "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{ toYaml (merge $own .Values.labels) }}
{{- end -}}

package main

import (
	"strings"
	"testing"
)

func TestWrongValuesAreRefusedByName(t *testing.T) {
	table := map[string]struct{ set, names string }{
		"a value that there is not":                       {"replicaCount=2", "replicaCount"},
		"a misspelt value in a group":                     {"image.repo=x", "repo"},
		"a misspelt value two groups down":                {"metrics.serviceMonitor.enable=true", "enable"},
		"words where a number belongs":                    {"replicas=two", "replicas"},
		"no replicas":                                     {"replicas=0", "replicas"},
		"more replicas than make sense":                   {"replicas=100", "replicas"},
		"a number where a switch belongs":                 {"crds.enabled=1", "enabled"},
		"a level that there is not":                       {"logLevel=loud", "logLevel"},
		"a format that there is not":                      {"logFormat=xml", "logFormat"},
		"a pull policy that there is not":                 {"image.pullPolicy=Sometimes", "pullPolicy"},
		"no image":                                        {"image.repository=", "repository"},
		"a digest that is none":                           {"image.digest=latest", "digest"},
		"a digest of the runtime's image that is none":    {"runtimeImage.digest=sha256:abc", "digest"},
		"one namespace instead of a list":                 {"watchNamespaces=team", "watchNamespaces"},
		"a namespace that no server would take":           {"watchNamespaces={Team}", "watchNamespaces"},
		"a namespace twice":                               {"watchNamespaces={team,team}", "watchNamespaces"},
		"pull secrets as words":                           {"imagePullSecrets={pull}", "imagePullSecrets"},
		"an interval without a unit":                      {"metrics.serviceMonitor.interval=30x", "interval"},
		"peers as words":                                  {"networkPolicy.clients={web}", "clients"},
		"a budget of none":                                {"podDisruptionBudget.maxUnavailable=0", "maxUnavailable"},
		"resources of another kind":                       {"resources.memory=64Mi", "memory"},
		"a label that is not text":                        {"labels.team.name=x", "team"},
		"a name too long to end in what objects add":      {"fullnameOverride=" + strings.Repeat("x", 41), "fullnameOverride"},
		"the metrics port open by a name of other charts": {"metrics.secure=false", "secure"},
	}
	for name, test := range table {
		t.Run(name, func(t *testing.T) {
			out, messages, err := run(t, helmProgram, "template", "leftfold", "charts/leftfold", "--set", test.set)
			if err == nil {
				t.Fatalf("--set %s was taken:\n%s", test.set, out)
			}
			if !strings.Contains(messages, test.names) || !strings.Contains(messages, "schema") {
				t.Errorf("--set %s: the message does not name %s:\n%s", test.set, test.names, messages)
			}
		})
	}
}

func TestTheChartCanBePartOfAnother(t *testing.T) {
	// Helm hands these to every chart that is a dependency.
	helm(t, "template", "leftfold", "charts/leftfold", "--set", "global.registry=x")
}

package runtime

import (
	"time"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// environment of the runtime: what the operator tells it, then what the user adds,
// which may refer to it.
func (p *plan) environment() ([]*corev1ac.EnvVarApplyConfiguration, error) {
	variables := append(p.whereabouts(), p.storeVariables()...)
	failover := p.runtime.Spec.Failover
	variables = append(variables,
		value("LEFTFOLD_IDENTITY", identityFolder),
		value("LEFTFOLD_HEARTBEAT_INTERVAL", milliseconds(failover.HeartbeatIntervalMilliseconds, v1alpha1.DefaultHeartbeatIntervalMilliseconds)),
		value("LEFTFOLD_HEARTBEAT_TIMEOUT", milliseconds(failover.HeartbeatTimeoutMilliseconds, v1alpha1.DefaultHeartbeatTimeoutMilliseconds)))
	for _, added := range p.runtime.Spec.Pod.Env {
		converted, err := as[corev1ac.EnvVarApplyConfiguration](added)
		if err != nil {
			return nil, err
		}
		variables = append(variables, converted)
	}
	return variables, nil
}

// whereabouts tell a pod who and where it is.
func (p *plan) whereabouts() []*corev1ac.EnvVarApplyConfiguration {
	return []*corev1ac.EnvVarApplyConfiguration{
		field("LEFTFOLD_NAMESPACE", "metadata.namespace"),
		value("LEFTFOLD_RUNTIME", p.runtime.Name),
		field("LEFTFOLD_POD", "metadata.name"),
		field("LEFTFOLD_POD_UID", "metadata.uid"),
		field("LEFTFOLD_POD_IP", "status.podIP"),
		field("LEFTFOLD_NODE", "spec.nodeName"),
	}
}

func (p *plan) storeVariables() []*corev1ac.EnvVarApplyConfiguration {
	postgres := p.store.Spec.Postgres
	if postgres == nil {
		return []*corev1ac.EnvVarApplyConfiguration{value("LEFTFOLD_DATA", dataFolder)}
	}
	secret := postgres.ConnectionSecretRef
	return []*corev1ac.EnvVarApplyConfiguration{
		corev1ac.EnvVar().WithName("LEFTFOLD_STORE").WithValueFrom(corev1ac.EnvVarSource().
			WithSecretKeyRef(corev1ac.SecretKeySelector().WithName(secret.Name).WithKey(secret.Key))),
		value("LEFTFOLD_SCHEMA", postgres.Schema),
	}
}

func value(name, text string) *corev1ac.EnvVarApplyConfiguration {
	return corev1ac.EnvVar().WithName(name).WithValue(text)
}

func field(name, path string) *corev1ac.EnvVarApplyConfiguration {
	return corev1ac.EnvVar().WithName(name).WithValueFrom(corev1ac.EnvVarSource().
		WithFieldRef(corev1ac.ObjectFieldSelector().WithFieldPath(path)))
}

func milliseconds(n, unset int32) string {
	if n == 0 {
		n = unset
	}
	return (time.Duration(n) * time.Millisecond).String()
}

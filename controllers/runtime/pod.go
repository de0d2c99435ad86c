package runtime

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

const (
	// container that the runtime runs in.
	container = "runtime"
	// account without rights, as in the image.
	nonRoot = 65532
	// gracePeriodSeconds lets a pod hand over its shards, and then answer what
	// callers still have open.
	gracePeriodSeconds = 45

	portOperations = "operations"
	portControl    = "control"

	identityVolume, identityFolder = "identity", "/var/run/leftfold/identity"
	dataVolume, dataFolder         = "data", "/var/lib/leftfold"
	scratchVolume, scratchFolder   = "scratch", "/tmp"
)

// template of the pods: the operator's, with the user's overlay.
func (p *plan) template() (*corev1ac.PodTemplateSpecApplyConfiguration, error) {
	overlay := &p.runtime.Spec.Pod
	labels := maps.Clone(overlay.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, p.labels())
	template := corev1ac.PodTemplateSpec().WithLabels(labels).WithAnnotations(overlay.Annotations)
	if p.storeDigest != "" {
		template.WithAnnotations(map[string]string{v1alpha1.AnnotationStoreDigest: p.storeDigest})
	}
	main, err := p.container()
	if err != nil {
		return nil, err
	}
	spec := corev1ac.PodSpec().
		WithServiceAccountName(p.account()).
		WithAutomountServiceAccountToken(true).
		// Variables made of the names of Services could look like the operator's.
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(gracePeriodSeconds).
		WithSecurityContext(corev1ac.PodSecurityContext().
			WithRunAsNonRoot(true).WithRunAsUser(nonRoot).WithRunAsGroup(nonRoot).
			WithFSGroup(nonRoot).WithFSGroupChangePolicy(corev1.FSGroupChangeOnRootMismatch).
			WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithContainers(main).
		WithVolumes(p.volumes()...)
	if err := p.place(spec); err != nil {
		return nil, err
	}
	return template.WithSpec(spec), nil
}

// place says which nodes the pods are for.
func (p *plan) place(spec *corev1ac.PodSpecApplyConfiguration) error {
	overlay := &p.runtime.Spec.Pod
	if len(overlay.NodeSelector) > 0 {
		spec.WithNodeSelector(overlay.NodeSelector)
	}
	if overlay.PriorityClassName != "" {
		spec.WithPriorityClassName(overlay.PriorityClassName)
	}
	for _, toleration := range overlay.Tolerations {
		converted, err := as[corev1ac.TolerationApplyConfiguration](toleration)
		if err != nil {
			return err
		}
		spec.WithTolerations(converted)
	}
	if overlay.Affinity != nil {
		converted, err := as[corev1ac.AffinityApplyConfiguration](overlay.Affinity)
		if err != nil {
			return err
		}
		spec.WithAffinity(converted)
	}
	return p.spread(spec)
}

// spread keeps pods apart. The scheduler may put them together all the same when
// it has to: a pod without a zone of its own is better than none.
func (p *plan) spread(spec *corev1ac.PodSpecApplyConfiguration) error {
	constraints := p.runtime.Spec.Pod.TopologySpreadConstraints
	if len(constraints) == 0 {
		for _, key := range []string{corev1.LabelTopologyZone, corev1.LabelHostname} {
			spec.WithTopologySpreadConstraints(corev1ac.TopologySpreadConstraint().
				WithTopologyKey(key).WithMaxSkew(1).WithWhenUnsatisfiable(corev1.ScheduleAnyway).
				WithLabelSelector(p.selector()))
		}
		return nil
	}
	for _, constraint := range constraints {
		converted, err := as[corev1ac.TopologySpreadConstraintApplyConfiguration](constraint)
		if err != nil {
			return err
		}
		if converted.LabelSelector == nil {
			converted.LabelSelector = p.selector() // without one it would spread nothing
		}
		spec.WithTopologySpreadConstraints(converted)
	}
	return nil
}

// container is the runtime itself.
func (p *plan) container() (*corev1ac.ContainerApplyConfiguration, error) {
	image := p.runtime.Spec.Image
	if image == "" {
		image = p.image
	}
	main := corev1ac.Container().
		WithName(container).
		WithImage(image).WithImagePullPolicy(corev1.PullIfNotPresent).
		WithArgs("runtime").
		WithPorts(
			port(portHTTP, v1alpha1.PortHTTP), port(portOperations, v1alpha1.PortOperations), port(portControl, v1alpha1.PortControl)).
		WithSecurityContext(corev1ac.SecurityContext().
			WithAllowPrivilegeEscalation(false).WithReadOnlyRootFilesystem(true).
			WithCapabilities(corev1ac.Capabilities().WithDrop("ALL"))).
		// A store that does not answer is no reason to restart a pod, and so is
		// nothing else that /readyz looks at.
		WithStartupProbe(probe("/livez", 1, 60)).
		WithLivenessProbe(probe("/livez", 10, 6)).
		WithReadinessProbe(probe("/readyz", 1, 3)).
		WithVolumeMounts(p.mounts()...)
	resources := p.runtime.Spec.Resources
	if len(resources.Requests)+len(resources.Limits) > 0 {
		converted := corev1ac.ResourceRequirements()
		if len(resources.Requests) > 0 {
			converted.WithRequests(resources.Requests)
		}
		if len(resources.Limits) > 0 {
			converted.WithLimits(resources.Limits)
		}
		main.WithResources(converted)
	}
	variables, err := p.environment()
	if err != nil {
		return nil, err
	}
	return main.WithEnv(variables...), nil
}

func port(name string, number int32) *corev1ac.ContainerPortApplyConfiguration {
	return corev1ac.ContainerPort().WithName(name).WithContainerPort(number).WithProtocol(corev1.ProtocolTCP)
}

// probe asks every so many seconds, and takes so many failures in a row.
func probe(path string, every, failures int32) *corev1ac.ProbeApplyConfiguration {
	return corev1ac.Probe().
		WithHTTPGet(corev1ac.HTTPGetAction().WithPath(path).WithPort(intstr.FromString(portOperations))).
		WithPeriodSeconds(every).WithTimeoutSeconds(5).WithFailureThreshold(failures)
}

func (p *plan) volumes() []*corev1ac.VolumeApplyConfiguration {
	volumes := []*corev1ac.VolumeApplyConfiguration{
		corev1ac.Volume().WithName(identityVolume).WithSecret(corev1ac.SecretVolumeSource().
			WithSecretName(v1alpha1.IdentitySecretName(p.runtime.Name)).WithDefaultMode(0o440)),
	}
	if p.store.Spec.SQLite != nil {
		volumes = append(volumes,
			corev1ac.Volume().WithName(dataVolume).WithPersistentVolumeClaim(
				corev1ac.PersistentVolumeClaimVolumeSource().WithClaimName(v1alpha1.DataVolumeName(p.store.Name))),
			// SQLite sorts in files there when a query needs it.
			corev1ac.Volume().WithName(scratchVolume).WithEmptyDir(corev1ac.EmptyDirVolumeSource()))
	}
	return volumes
}

func (p *plan) mounts() []*corev1ac.VolumeMountApplyConfiguration {
	mounts := []*corev1ac.VolumeMountApplyConfiguration{
		corev1ac.VolumeMount().WithName(identityVolume).WithMountPath(identityFolder).WithReadOnly(true),
	}
	if p.store.Spec.SQLite != nil {
		mounts = append(mounts,
			corev1ac.VolumeMount().WithName(dataVolume).WithMountPath(dataFolder),
			corev1ac.VolumeMount().WithName(scratchVolume).WithMountPath(scratchFolder))
	}
	return mounts
}

package cluster

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// storageClass is the default one. Its volumes are made here: it provisions none.
	storageClass = "local"
	// volumeCount is for the whole cluster and each access mode.
	volumeCount = 10
	// volumeSize is what a volume says to have; it holds what the disk holds.
	volumeSize = "100Gi"
)

// RESTConfig is the administrator's access to the API server.
func (c *Cluster) RESTConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of the cluster: %w", err)
	}
	// A proxy for the world is none for this machine.
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	// Nobody else is to be protected from us.
	config.QPS = -1
	return config, nil
}

func (c *Cluster) client() (*kubernetes.Clientset, error) {
	config, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// ready tells which nodes the API server holds for ready.
func (c *Cluster) ready(ctx context.Context) (map[string]bool, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	ready := map[string]bool{}
	for _, node := range nodes.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady {
				ready[node.Name] = condition.Status == corev1.ConditionTrue
			}
		}
	}
	return ready, nil
}

// provideStorage makes the storage class and its volumes, and makes volumes anew
// whose claims have gone: nothing else would.
func (c *Cluster) provideStorage(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	binding := storagev1.VolumeBindingWaitForFirstConsumer
	retain := corev1.PersistentVolumeReclaimRetain
	class := &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name:        storageClass,
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		Provisioner: "kubernetes.io/no-provisioner", VolumeBindingMode: &binding, ReclaimPolicy: &retain,
	}
	if _, err := client.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	volumes := client.CoreV1().PersistentVolumes()
	list, err := volumes.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, volume := range list.Items {
		if volume.Status.Phase != corev1.VolumeReleased || volume.Spec.StorageClassName != storageClass {
			have[volume.Name] = true
			continue
		}
		if err := volumes.Delete(ctx, volume.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	for _, volume := range c.volumes() {
		if have[volume.Name] {
			continue
		}
		if err := os.RemoveAll(volume.Spec.Local.Path); err != nil {
			return err
		}
		if err := os.MkdirAll(volume.Spec.Local.Path, 0o755); err != nil {
			return err
		}
		// The one before may take a moment to go.
		err := wait.PollUntilContextTimeout(ctx, deletedPoll, deletedWithin, true, func(ctx context.Context) (bool, error) {
			_, err := volumes.Create(ctx, volume, metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) {
				return false, nil
			}
			return err == nil, err
		})
		if err != nil {
			return fmt.Errorf("make volume %s: %w", volume.Name, err)
		}
	}
	return nil
}

// A volume without a claim is gone within moments of its deletion.
const (
	deletedPoll   = 50 * time.Millisecond
	deletedWithin = 10 * time.Second
)

// volumes are the cluster's, spread over its nodes. A volume for one pod alone
// (ReadWriteOncePod) may not be for one node (ReadWriteOnce) too, so there are
// some of each.
func (c *Cluster) volumes() []*corev1.PersistentVolume {
	nodes := c.plan.nodes()
	var list []*corev1.PersistentVolume
	for i := range volumeCount {
		node := nodes[i%len(nodes)].Name
		list = append(list,
			c.volume(fmt.Sprintf("local-%d", i+1), node, corev1.ReadWriteOnce),
			c.volume(fmt.Sprintf("local-pod-%d", i+1), node, corev1.ReadWriteOncePod))
	}
	return list
}

func (c *Cluster) volume(name, node string, mode corev1.PersistentVolumeAccessMode) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName: storageClass,
			Capacity:         corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(volumeSize)},
			AccessModes:      []corev1.PersistentVolumeAccessMode{mode},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				Local: &corev1.LocalVolumeSource{Path: filepath.Join(c.dir, "volumes", node, name)},
			},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node},
				}}}},
			}},
		},
	}
}

// missing names what a pod needs and is not there yet: nodes that are ready, and
// a service account, which the controller manager makes once it has begun.
func (c *Cluster) missing(ctx context.Context) string {
	ready, err := c.ready(ctx)
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, node := range c.plan.nodes() {
		if !ready[node.Name] {
			names = append(names, node.Name)
		}
	}
	client, err := c.client()
	if err != nil {
		return err.Error()
	}
	if _, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{}); err != nil {
		names = append(names, "the default service account")
	}
	return strings.Join(names, ", ")
}

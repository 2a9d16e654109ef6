"""container.py MANIFEST run|probe: prints the arguments for `podman run` or of the readiness probe, one on each line.

The settings of the container of the DaemonSet become options of podman. An unknown setting is an error. Its limits are
ignored, because the machine may lack cgroups."""

import sys

import yaml

[daemonset] = [each for each in yaml.safe_load_all(open(sys.argv[1])) if each["kind"] == "DaemonSet"]
pod = daemonset["spec"]["template"]["spec"]
[container] = pod["containers"]
if sys.argv[2] == "probe":
    print(*container["readinessProbe"]["exec"]["command"], sep="\n")
    sys.exit()

expected = {"name", "image", "imagePullPolicy", "args", "readinessProbe", "securityContext", "resources"}
assert container.keys() == expected and "volumes" not in pod and not pod["hostNetwork"] and not pod["hostPID"], container
may = dict(container["securityContext"])
words = ["--network=none"]
assert may.pop("privileged") is False and may.pop("runAsNonRoot") is False
words += [f"--user={may.pop('runAsUser')}:{may.pop('runAsGroup')}"]
capabilities = may.pop("capabilities")
words += [f"--cap-drop={name}" for name in capabilities["drop"]] + [f"--cap-add={name}" for name in capabilities["add"]]
assert may.pop("allowPrivilegeEscalation") is False
words += ["--security-opt=no-new-privileges"]
assert may.pop("readOnlyRootFilesystem") is True
# podman would add writable directories to a read-only container, and Kubernetes does not.
words += ["--read-only", "--read-only-tmpfs=false"]
# podman's default, from the same list as containerd's.
assert may.pop("seccompProfile") == {"type": "RuntimeDefault"}
assert may.pop("appArmorProfile") == {"type": "Unconfined"}
words += ["--security-opt=apparmor=unconfined", f"--security-opt=label=type:{may.pop('seLinuxOptions')['type']}"]
assert not may, may
print(*words, container["image"], *container["args"], sep="\n")

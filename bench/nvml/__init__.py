"""An NVML without a GPU: scripted power curves of known energy behind the real ``nvidia-ml-py``."""

"""What both modules of InvDetect share inside Slicer: scene, worker, dependencies, panels."""

"""What the modules of InvDetect share inside 3D Slicer."""

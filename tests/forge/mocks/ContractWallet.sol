// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice A wallet with ERC-1271: its owner's key signs, until it changes its mind.
contract ContractWallet is IERC1271 {
    address private immutable owner;
    bool private closed;

    constructor(address owner_) {
        owner = owner_;
    }

    function close() external {
        closed = true;
    }

    function reopen() external {
        closed = false;
    }

    function execute(address target, bytes calldata data) external {
        (bool done,) = target.call(data);
        require(done, "refused");
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (address signer,,) = ECDSA.tryRecover(hash, signature);
        return !closed && signer == owner ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}
